"""Rate cards: a set, a card in it, a dated version, a rate for each role.

Public surface: :func:`push_rate_card`, :func:`find_complete`.

Kantata makes a card's versions with the version of its set, and has neither upsert nor idempotency key. So every step is
looked up before it is made: a push that stopped halfway is finished by the next one. The card carries our external
reference; a set cannot, so its title, which is all it has, ends with our key.
Source: developer.kantata.com – Rate Card Sets, Rate Cards, Rate Card Set Versions, Rate Card Roles.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from apps.canonical.money import Money
from apps.canonical.objects import RateCard, RateLine
from apps.connectors.adapters.kantata.client import Client
from apps.connectors.spi import AdapterError, ErrorKind, Outcome, Push

BLENDED = "Blended"


def push_rate_card(client: Client, push: Push) -> Outcome:
    """Make what is missing. ``created`` false when the card itself was there already."""
    card = _body(push)
    title = f"{card.name} ({push.key})"
    set_id = _set(client, title) or str(
        client.create("rate_card_sets", "rate_card_set", {"title": title})[0]["id"]
    )
    card_id, created = _ensure(client, push.key, {"currency": card.currency, "rate_card_set_id": set_id})
    version_id = _version(client, set_id, card_id, card) or _new_version(client, set_id, card_id, card)
    held = _rates(client, version_id)
    for name, rate in _wanted(card).items():
        role_id = _role(client, name)
        if role_id is None:
            role_id = str(client.create("roles", "role", {"name": name})[0]["id"])
        if role_id not in held:
            rated = {"rate_card_version_id": version_id, "role_id": role_id, "rate": rate}
            client.create("rate_card_roles", "rate_card_role", rated)
        elif held[role_id][1] != rate:
            client.update("rate_card_roles", "rate_card_role", held[role_id][0], {"rate": rate})
    return Outcome(card_id, created=created)


def find_complete(client: Client, push: Push) -> Outcome | None:
    """The card when all of its rates are there as wanted; never writes."""
    card = _body(push)
    set_id = _set(client, f"{card.name} ({push.key})")
    cards = client.referred("rate_cards", "rate_card", push.key)
    if set_id is None or cards is None:
        return None
    version_id = _version(client, set_id, str(cards.records[0]["id"]), card)
    if version_id is None:
        return None
    held = _rates(client, version_id)
    for name, rate in _wanted(card).items():
        role_id = _role(client, name)
        if role_id is None or role_id not in held or held[role_id][1] != rate:
            return None
    return Outcome(str(cards.records[0]["id"]), created=True)


def _set(client: Client, title: str) -> str | None:
    """The rate card set of exactly this title."""
    for page in client.pages("rate_card_sets", {"matching": title}):
        for found in page.records:
            if found.get("title") == title:
                return str(found["id"])
    return None


def _ensure(client: Client, key: str, values: Mapping[str, Any]) -> tuple[str, bool]:
    """The rate card that carries our reference, made when it is missing: id, whether it was made."""
    found = client.referred("rate_cards", "rate_card", key)
    if found is not None:
        return str(found.records[0]["id"]), False
    reference = client.reference("rate_card", key)
    record, _ = client.create("rate_cards", "rate_card", {**values, "external_reference": reference})
    return str(record["id"]), True


def _version(client: Client, set_id: str, card_id: str, card: RateCard) -> str | None:
    """The card's version of exactly this first day."""
    for page in client.pages("rate_card_set_versions", {"rate_card_set_id": set_id}):
        for found in page.records:
            if str(found.get("effective_date") or "")[:10] != card.effective_from.isoformat():
                continue
            versions = client.page(
                "rate_card_versions", {"rate_card_id": card_id, "rate_card_set_version_id": found["id"]}
            )
            if versions.records:
                return str(versions.records[0]["id"])
    return None


def _new_version(client: Client, set_id: str, card_id: str, card: RateCard) -> str:
    values = {"rate_card_set_id": set_id, "effective_date": card.effective_from.isoformat()}
    _, answer = client.create("rate_card_set_versions", "rate_card_set_version", values)
    version_id = _version(client, set_id, card_id, card)
    if version_id is None:
        raise AdapterError(
            ErrorKind.UNKNOWN,
            "Kantata made a version of the rate card set, but shows none of the card.",
            exchange=answer.exchange,
        )
    return version_id


def _rates(client: Client, version_id: str) -> dict[str, tuple[str, int]]:
    """Role id → (id of its rate, rate in minor units)."""
    return {
        str(found["role_id"]): (str(found["id"]), int(found.get("rate") or 0))
        for page in client.pages("rate_card_roles", {"rate_card_version_id": version_id, "include": "role"})
        for found in page.records
    }


def _role(client: Client, name: str) -> str | None:
    found = client.page("roles", {"matching": name})
    return next((str(record["id"]) for record in found.records if record.get("name") == name), None)


def _wanted(card: RateCard) -> dict[str, int]:
    """Role name → minor units an hour. A blended rate is a role of its own, by service where it names one."""
    return {_role_name(line): _hourly(card, line).minor for line in card.lines}


def _role_name(line: RateLine) -> str:
    base = BLENDED if line.blended else (line.role or line.resource)
    return f"{base} {line.service_code}".strip() if line.service_code else base


def _hourly(card: RateCard, line: RateLine) -> Money:
    if line.unit == "day" and card.hours_per_day > Decimal(0):
        return Money.of(line.bill_rate.amount / card.hours_per_day, line.bill_rate.currency)
    return line.bill_rate


def _body(push: Push) -> RateCard:
    if not isinstance(push.body, RateCard):
        raise AdapterError(
            ErrorKind.CONTRACT_DRIFT, "A rate card write needs a rate card.", code="INT-SCHEMA"
        )
    return push.body
