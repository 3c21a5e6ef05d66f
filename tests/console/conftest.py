"""The small firm of the screen tests and a browser-like client for each of its people."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client

from tests.console.world import World
from tests.people import hire


@pytest.fixture
def world(db: None) -> World:
    return World()


@pytest.fixture
def signed_in(db: None) -> Callable[..., Client]:
    """``signed_in("ana", entity)``: a client with that person logged in; hired when needed."""

    def open_session(who: Any, *place: Any, **grant: Any) -> Client:
        user = hire(who, *place, **grant) if isinstance(who, str) else who
        client = Client()
        client.force_login(user)
        return client

    return open_session
