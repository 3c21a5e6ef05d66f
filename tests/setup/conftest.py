"""Fixtures of the set-up tests."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture
def home() -> Iterator[Path]:
    """A data folder for embedded servers.

    Not below ``tmp_path``: every starting pytest shuts that tree to others, and for root PostgreSQL runs as another
    user, who could then no longer reach its data.
    """
    path = Path(tempfile.mkdtemp(prefix="pssync-setup-"))
    yield path
    shutil.rmtree(path, ignore_errors=True)
