"""Doors of machines skip what only pages need, and keep what every answer needs; a lost connection costs no event."""

from __future__ import annotations

import json

import psycopg
import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from apps.journal.models import Inbox
from tests.api.doors import crm, deal_changed, post, signed


@pytest.fixture
def door(db) -> Client:
    crm()
    return Client()


def test_an_event_sets_no_cookie_and_has_the_safety_headers_of_every_answer(door):
    response = post(door, deal_changed())
    assert response.status_code == 202
    assert not response.cookies
    assert response["X-Content-Type-Options"] == "nosniff"
    assert response["Referrer-Policy"] == "same-origin"
    assert response["X-Correlation-Id"]


def test_an_answer_says_its_length_so_that_the_connection_can_be_used_again(door):
    response = post(door, deal_changed())
    assert response["Content-Length"] == str(len(response.content))


def test_a_foreign_host_name_is_refused_here_as_anywhere(door):
    body = json.dumps(deal_changed()).encode()
    headers = {**signed(body), "host": "elsewhere.example"}
    answer = door.post("/hooks/crm", data=body, content_type="application/json", headers=headers)
    assert answer.status_code == 400
    assert not Inbox.objects.exists()


def test_where_tls_is_asked_for_a_door_without_it_takes_nothing(door, settings):
    settings.SECURE_SSL_REDIRECT = True
    assert post(Client(), deal_changed()).status_code == 301
    assert not Inbox.objects.exists()


def test_the_second_event_costs_one_statement(door):
    post(door, deal_changed())
    with CaptureQueriesContext(connection) as heard:
        assert post(door, deal_changed("006B")).status_code == 202
    assert [query["sql"].split()[0] for query in heard.captured_queries] == ["WITH"]


def test_a_connection_that_died_between_two_events_costs_none(process_database, django_db_blocker):
    with django_db_blocker.unblock():
        crm()
        door = Client()
        assert post(door, deal_changed()).status_code == 202
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_backend_pid()")
            (mine,) = cursor.fetchone()
        with psycopg.connect(process_database.url, autocommit=True) as other:
            other.execute("SELECT pg_terminate_backend(%s)", [mine])
        assert post(door, deal_changed("006B")).status_code == 202
        assert Inbox.objects.count() == 2
