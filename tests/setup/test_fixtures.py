"""The fixtures that tests with real processes lean on."""

from __future__ import annotations

import socket
import subprocess
import sys

import psycopg
import pytest
from django.contrib.auth import get_user_model
from django.db import connection

from tests.house.scan import ROOT

COUNT = "import django; django.setup(); from django.contrib.auth import get_user_model as m; print(m().objects.count())"


def test_rows_of_a_process_database_are_seen_by_other_processes(process_database):
    get_user_model().objects.create(username="maud", email="maud@merridane.example")
    shown = subprocess.run(
        [sys.executable, "-c", COUNT],
        cwd=ROOT,
        env=process_database.env,
        check=True,
        capture_output=True,
        text=True,
    )
    assert shown.stdout.strip() == "1"
    with psycopg.connect(process_database.url) as other:
        assert other.execute("SELECT current_database()").fetchone() == (process_database.name,)


def test_the_next_process_database_is_clean(process_database):
    assert connection.settings_dict["NAME"] == process_database.name
    assert get_user_model().objects.count() == 0


@pytest.mark.django_db
def test_the_ordinary_test_database_is_back_afterwards():
    assert not connection.settings_dict["NAME"].endswith("_process")
    assert get_user_model().objects.count() == 0


def test_port_blocks_are_free_and_do_not_overlap(free_port_block):
    first, second = free_port_block(7), free_port_block(7)
    assert second >= first + 7
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", first + 6))
