"""An entity whose gates are open and a flow whose plans the tests write, on a committed database of the module."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from apps.organization import services as organization
from apps.sync import services as sync
from tests.sync.steps import FLOW_NAME, Steps


@pytest.fixture
def steps(module_database: Any, django_db_blocker: Any, monkeypatch: Any, settings: Any) -> Iterator[Steps]:
    settings.SYNC_RETRY_BASE_SECONDS, settings.SYNC_RETRY_CAP_SECONDS = 0.01, 0.02
    with django_db_blocker.unblock():
        entity = organization.entity_set(
            code="MER-UK",
            name="Merridane Consulting Ltd",
            country="GB",
            currency="GBP",
            timezone="Europe/London",
        )
        made = Steps(entity)
        made.install(monkeypatch)
        sync.gate_set(legal_entity=entity, flow=FLOW_NAME, mode="automatic", by=None)
        yield made
