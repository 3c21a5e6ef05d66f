"""The rows a bench needs: three legal entities, a CRM that sends events, an ERP behind the stub, open gates; and events.

Public surface: :func:`furnish`, :func:`entity_of`, :func:`event`, :func:`receive`, :data:`ENTITIES`.
Everything goes through the rooms' services, as an administrator's clicks would.
"""

from __future__ import annotations

import json
import uuid
import zlib
from dataclasses import asdict
from typing import Any

from apps.connectors import services as connectors
from apps.connectors.spi import Change
from apps.journal import services as journal
from apps.organization import services as organization
from apps.sync import services as sync
from benchmarks.load import SECRET

ENTITIES = ("BENCH-UK", "BENCH-US", "BENCH-BE")
_CURRENCIES = ("GBP", "USD", "EUR")
_COUNTRIES = ("GB", "US", "BE")
EVENT_BYTES = 2048
CRM, ERP = "crm", "erp"


#: What the stub's account allows when it refuses nobody: more than all workers' threads together.
UNLIMITED = 64


def furnish(*, stub_url: str, at_once: int = UNLIMITED) -> None:
    """Create what is missing; the ERP's address is the stub's, whose account allows ``at_once`` calls."""
    crm = organization.system_set(code=CRM, name="Bench CRM", kind="crm", vendor="bench")
    erp = organization.system_set(code=ERP, name="Bench ERP", kind="erp", vendor="bench")
    for system in (crm, erp):
        connectors.connection_set(
            system=system,
            base_url=stub_url,
            config={"max_concurrency": at_once},
            secrets={"token": "token-of-the-bench", "webhook_secret": SECRET},
        )
    for code, currency, country in zip(ENTITIES, _CURRENCIES, _COUNTRIES, strict=True):
        entity = organization.entity_set(
            code=code, name=f"Bench {country}", country=country, currency=currency
        )
        organization.routing_set(legal_entity=entity, kind="crm", system=crm, settings={})
        organization.routing_set(legal_entity=entity, kind="erp", system=erp, settings={})
        sync.gate_set(legal_entity=entity, flow="deal.provision", mode="automatic", by=None)


def entity_of(workflow: str) -> str:
    """The legal entity whose deal it is."""
    return ENTITIES[zlib.crc32(workflow.encode()) % len(ENTITIES)]


def event(workflow: str) -> bytes:
    """A 2 KB event as a CRM sends it."""
    shell = {"type": "deal.won", "deal": workflow, "data": ""}
    room = EVENT_BYTES - len(json.dumps(shell))
    return json.dumps(shell | {"data": (f"{workflow} " * room)[:room]}).encode()


def receive(workflow: str) -> bool:
    """What the door does once signature and age are proven."""
    changes: list[dict[str, Any]] = [asdict(Change("deal", workflow, workflow, event_type="deal.won"))]
    return journal.receive(
        source=CRM,
        event_id=workflow,
        headers={"content-type": "application/json", "webhook-id": workflow},
        body=event(workflow),
        changes=changes,
        correlation_id=str(uuid.uuid4()),
    )
