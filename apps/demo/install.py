"""Sets the demo firm up: people, legal entities, systems with credentials, mappings, apply gates, list prices.

Public surface: :func:`install`. Everything goes through the rooms' services and the sandbox's control door; running it
again changes nothing.
"""

from __future__ import annotations

import base64
import secrets
from datetime import date
from decimal import Decimal
from typing import Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from apps.canonical.money import Money
from apps.canonical.objects import RateLine
from apps.commercial import services as commercial
from apps.connectors import selectors as connector_selectors
from apps.connectors import services as connectors
from apps.core import clock
from apps.demo import firm, psa
from apps.demo.sandbox_client import SandboxControl
from apps.governance import services as governance
from apps.journal import selectors as journal_selectors
from apps.journal import services as journal
from apps.organization import selectors as organization
from apps.organization import services as organization_services
from apps.sync import services as sync

WHY = "Set up with the demo firm."
SINK = "Demo receiver"
#: Ports of the emulated systems relative to the sandbox's control door.
PORTS = {"crm": 1, "erp": 2, "erp-be": 3, "psa": 4, "billing": 5, "sink": 6}


def install(*, control: SandboxControl, sandbox_port: int, web_url: str) -> None:
    """Create what is missing. ``web_url`` is where the sandbox sends its webhooks."""
    entities = {one.code: _entity(one) for one in firm.ENTITIES}
    systems = {code: _system(code) for code in firm.SYSTEMS}
    _people(entities)
    for system in systems.values():
        _connection(control, system, sandbox_port, web_url)
    _routing(entities, systems)
    _master_data(control)
    _mappings(control, entities)
    _gates(entities)
    _list_prices(entities)
    _exchange_rates()
    _announcements(control, sandbox_port)


def _entity(one: firm.Entity) -> Any:
    return organization_services.entity_set(
        code=one.code,
        name=one.name,
        country=one.country,
        currency=one.currency,
        timezone=one.timezone,
        tax_id=one.tax_id,
        hours_per_day=one.hours_per_day,
        mapping_threshold=one.mapping_threshold,
    )


def _system(code: str) -> Any:
    name, kind, vendor = firm.SYSTEMS[code]
    return organization_services.system_set(code=code, name=name, kind=kind, vendor=vendor)


def _people(entities: dict[str, Any]) -> None:
    for person in firm.PEOPLE:
        user = organization.user_by_email(person.email)
        if user is None:
            first, _, last = person.name.partition(" ")
            user = organization_services.user_create(
                username=person.username,
                email=person.email,
                password=firm.PASSWORD,
                first_name=first,
                last_name=last,
                job_title=person.job_title,
            )
        if person.role == "project_manager":
            continue  # project managers are granted their engagements as these are opened
        for code in person.entities or (None,):
            organization_services.role_grant(
                user=user, role=person.role, legal_entity=entities[code] if code else None
            )


def _connection(control: SandboxControl, system: Any, sandbox_port: int, web_url: str) -> None:
    """Give both sides the same fresh credentials, once."""
    if connector_selectors.connection_state(system_id=system.pk) is not None:
        return
    base_url = f"http://127.0.0.1:{sandbox_port + PORTS[system.code]}"
    config, ours, theirs = _credentials(system.vendor)
    control.credentials(system.code, **theirs)
    connectors.connection_set(system=system, base_url=base_url, config=config, secrets=ours)
    if "webhook_secret" in ours:
        control.webhook(system.code, url=f"{web_url}/hooks/{system.code}", secret=ours["webhook_secret"])


def _credentials(vendor: str) -> tuple[dict[str, Any], dict[str, str], dict[str, str]]:
    """``(configuration, our secrets, what the vendor is told)``."""
    token = secrets.token_urlsafe(32)
    hook = "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode()
    if vendor == "salesforce":
        theirs = {"client_id": "pssync", "client_secret": token}
        return {"client_id": "pssync"}, {"client_secret": token, "webhook_secret": hook}, theirs
    if vendor == "netsuite":
        private, public = _key_pair()
        config = {
            "account": "MERRIDANE",
            "client_id": "pssync",
            "certificate_id": "pssync-2026",
            "algorithm": "ES256",
        }
        return (
            config,
            {"private_key": private},
            {"client_id": "pssync", "kid": "pssync-2026", "public_key": public},
        )
    if vendor == "kantata":
        return {}, {"token": token}, {"token": token}
    return {}, {"api_key": f"sk_test_{token}", "webhook_secret": hook}, {"api_key": f"sk_test_{token}"}


def _key_pair() -> tuple[str, str]:
    """An ES256 key pair as PEM, for NetSuite's client assertion."""
    key = ec.generate_private_key(ec.SECP256R1())
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    public = key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return private.decode(), public.decode()


def _routing(entities: dict[str, Any], systems: dict[str, Any]) -> None:
    for one in firm.ENTITIES:
        settings = {"subsidiary": one.subsidiary, "tax": one.tax}
        routes = {"crm": "crm", "psa": "psa", "erp": one.erp, "billing": "billing"}
        for kind, code in routes.items():
            organization_services.routing_set(
                legal_entity=entities[one.code],
                kind=kind,
                system=systems[code],
                settings=settings if kind == "erp" else {},
            )


def _master_data(control: SandboxControl) -> None:
    """Subsidiaries, items and tax codes of both ERPs, the accounts of the CRM, the roles of the PSA."""
    if control.records("crm", "Account"):
        return
    seed: dict[str, dict[str, list[dict[str, Any]]]] = {
        erp: _erp_data(control, erp) for erp in ("erp", "erp-be")
    }
    seed["crm"] = {
        "Account": [
            firm.account_record(client, account_id(number))
            for number, client in enumerate(firm.CLIENTS, start=1)
        ]
    }
    seed["psa"] = {
        "roles": [{"id": str(40 + number), "name": role} for number, role in enumerate(firm.RATES, start=1)]
    }
    control.seed(seed)


def _erp_data(control: SandboxControl, erp: str) -> dict[str, list[dict[str, Any]]]:
    own = [one for one in firm.ENTITIES if one.erp == erp]
    subsidiaries = [
        {
            "id": one.subsidiary,
            "name": one.name,
            "country": {"id": one.country},
            "currency": {"id": _currency(control, erp, one.currency)},
        }
        for one in own
    ]
    tax_codes = [
        {
            "id": treatment["code"],
            "itemId": f"{one.country} {name.replace('_', ' ')} {treatment['rate']} %",
            "rate": float(treatment["rate"]),
            "nexusCountry": {"id": one.country},
        }
        for one in own
        for name, treatment in {
            treatment["code"]: (name, treatment) for name, treatment in one.tax.items()
        }.values()
    ]
    roles = [{"id": str(300 + number), "name": role} for number, role in enumerate(firm.RATES, start=1)]
    return {
        "subsidiary": subsidiaries,
        "serviceSaleItem": _items(erp),
        "salesTaxItem": tax_codes,
        "billingClass": roles,
        "employee": _employees() if erp == firm.ENTITIES[0].erp else [],
    }


def _employees() -> list[dict[str, Any]]:
    """Everybody who books time is employed by the group's first company."""
    return [
        {
            "id": str(51 + number),
            "firstName": name.split()[0],
            "lastName": name.split()[-1],
            "email": psa.address_of(number),
            "subsidiary": {"id": firm.ENTITIES[0].subsidiary},
            "isJobResource": True,
        }
        for number, name in enumerate(psa.CONSULTANTS)
    ]


def account_id(number: int) -> str:
    """The CRM id of the n-th client, in Salesforce's 18-character form."""
    return f"001Mer{number:09d}AAA"


def _items(erp: str) -> list[dict[str, Any]]:
    items = [
        {"id": service.items[erp], "itemId": service.code, "displayName": service.name}
        for service in firm.SERVICES
        if erp in service.items
    ]
    return items + [
        {"id": item_id, "itemId": code, "displayName": name}
        for item_id, code, name in firm.UNMAPPED_ITEMS.get(erp, ())
    ]


def _currency(control: SandboxControl, erp: str, code: str) -> str:
    return next(row["id"] for row in control.records(erp, "currency") if row.get("symbol") == code)


def _mappings(control: SandboxControl, entities: dict[str, Any]) -> None:
    for one in firm.ENTITIES:
        entity = entities[one.code]
        for service in firm.SERVICES:
            if one.erp in service.items:
                _adopt("service_item", entity, service.code, service.items[one.erp], service.name)
        for term in control.records(one.erp, "term"):
            if term["name"] in firm.TERMS:
                _adopt("payment_terms", entity, term["name"], term["id"], term["name"])
        for row in control.records(one.erp, "currency"):
            if row["symbol"] in ("GBP", "USD", "EUR"):
                _adopt("currency", entity, row["symbol"], row["id"], row["name"])


def _adopt(kind: str, entity: Any, source: str, target: str, label: str) -> None:
    governance.mapping_adopt(
        kind=kind, legal_entity=entity, source=source, target=str(target), target_label=label, why=WHY
    )


def _gates(entities: dict[str, Any]) -> None:
    for entity in entities.values():
        for flow in firm.FLOWS:
            if sync.gate(legal_entity_id=entity.pk, flow=flow) == "off":
                sync.gate_set(legal_entity=entity, flow=flow, mode="automatic", by=None, why=WHY)


def _list_prices(entities: dict[str, Any]) -> None:
    start = date(clock.today().year, 1, 1)
    for one in firm.ENTITIES:
        lines = [
            RateLine(role=role, unit="hour", bill_rate=Money.of(prices[one.currency], one.currency))
            for role, prices in firm.RATES.items()
        ]
        commercial.entity_ratecard_set(
            legal_entity=entities[one.code],
            name=f"{one.name} list prices",
            currency=one.currency,
            lines=lines,
            effective_from=start,
        )


def _exchange_rates() -> None:
    on = date(clock.today().year, 1, 1)
    for base, quote, rate in (("GBP", "USD", "1.27"), ("EUR", "USD", "1.09"), ("GBP", "EUR", "1.165")):
        organization_services.rate_set(base=base, quote=quote, on=on, rate=Decimal(rate), source="demo")


def _announcements(control: SandboxControl, sandbox_port: int) -> None:
    """The emulated receiver of announcements, subscribed once."""
    url = f"http://127.0.0.1:{sandbox_port + PORTS['sink']}/"
    if journal_selectors.subscription(name=SINK) is not None:
        return
    secret = "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode()
    control.credentials("sink", secret=secret)
    journal.subscription_add(name=SINK, url=url, secret=secret)
