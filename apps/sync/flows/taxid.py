"""Flow ``taxid.check``: what a register of tax ids says of a customer's, as the billing platform has asked it.

Public surface: :data:`FLOW`. Subject key: ``<customer key>@<billing system code>``. The platform asks the register (VIES,
HMRC, ABR) when a customer with a tax id is made there, and tells when it has an answer. It writes to no system and stops no
set-up.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from rapidfuzz import fuzz

from apps.canonical.objects import Customer
from apps.core import clock
from apps.organization import selectors as organization
from apps.sync.flows import base
from apps.sync.flows.base import Context, Flow, Meta
from apps.sync.flows.matching import SIMILAR_ENOUGH, normal_name
from apps.sync.models import Transaction
from apps.sync.plans import Draft, Problem


@dataclass(frozen=True)
class TaxIdSnapshot:
    """``answers``: value, status (pending, verified, unverified, unavailable, "" for never asked) and name of the register,
    for each tax id that the platform holds."""

    as_of: datetime
    meta: Meta
    platform: Any
    customer: Customer | None
    answers: tuple[dict[str, str], ...] = ()


def gather(context: Context) -> TaxIdSnapshot:
    """The account in the CRM, and what the register says on the billing platform. Raises ``AdapterError``."""
    customer_key, _, code = context.key.rpartition("@")
    platform, (crm, crm_id) = organization.system(code), base.split_key(customer_key)
    as_of = clock.now()
    account = base.read_one(context, system=crm, object_type="customer", external_id=crm_id)
    customer: Customer | None = account.body if account is not None else None  # type: ignore[assignment]
    external_id = base.link_id("customer", customer_key, platform)
    held = (
        base.read_one(context, system=platform, object_type="customer", external_id=external_id)
        if external_id
        else None
    )
    last = Transaction.objects.filter(customer_key=customer_key, flow="customer.sync").order_by("-id").first()
    name = customer.name if customer is not None else customer_key
    return TaxIdSnapshot(
        as_of=context.oldest(as_of),
        meta=Meta(
            label=f"Tax id of {name}",
            customer=name,
            customer_key=customer_key,
            legal_entity_id=last.legal_entity_id if last is not None else None,
        ),
        platform=platform,
        customer=customer,
        answers=tuple(held.facts.get("tax_ids", [])) if held is not None else (),
    )


def plan(snapshot: TaxIdSnapshot) -> Draft:
    problems = tuple(_problems(snapshot))
    if problems:
        return Draft((), problems, problems[0].reason)
    return Draft((), summary=f"No register objects to the tax id of {snapshot.meta.customer}.")


def _problems(snapshot: TaxIdSnapshot) -> Iterator[Problem]:
    customer = snapshot.customer
    if customer is None or not customer.tax_id:
        return
    for answer in snapshot.answers:
        if _bare(answer["value"]) != _bare(customer.tax_id):
            continue  # the CRM has another one by now, about which nobody was asked
        if answer["status"] == "unavailable":
            yield _unverified(snapshot, customer)
        elif answer["status"] == "unverified":
            yield _unknown(snapshot, customer)
        elif answer["status"] == "verified":
            yield from _name(snapshot, customer, answer["name"])


def _bare(value: str) -> str:
    return re.sub(r"[^A-Z0-9]", "", value.upper())


def _unverified(snapshot: TaxIdSnapshot, customer: Customer) -> Problem:
    return _problem(
        "CUS-TAXID-UNVERIFIED",
        "tax_id",
        customer.tax_id,
        f"The register did not answer whether “{customer.tax_id}” of {customer.name} is a valid tax id; "
        f"{snapshot.platform.name} asks it again.",
    )


def _unknown(snapshot: TaxIdSnapshot, customer: Customer) -> Problem:
    return _problem(
        "CUS-TAXID-INVALID",
        "tax_id",
        customer.tax_id,
        f"The register that {snapshot.platform.name} asked does not know “{customer.tax_id}”, the tax id of {customer.name}.",
    )


def _name(snapshot: TaxIdSnapshot, customer: Customer, registered: str) -> Iterator[Problem]:
    """Some registers give no name at all, or dashes in its place."""
    ours, theirs = normal_name(customer.name), normal_name(registered)
    score = round(fuzz.token_sort_ratio(ours, theirs), 1)
    if not re.search(r"\w", theirs) or score >= SIMILAR_ENOUGH:
        return
    yield _problem(
        "CUS-NAME-MISMATCH",
        "name",
        "",
        f"The register knows the tax id {customer.tax_id} as “{registered}”; the CRM's account is “{customer.name}” "
        f"(similarity {score:g} %).",
        registered=registered,
        account=customer.name,
        score=score,
    )


def _problem(code: str, field: str, value: str, reason: str, **params: Any) -> Problem:
    # Set-up and billing go on beside it.
    return Problem(code, "register", "customer", field, value, reason, {**params, "held": "0"})


FLOW = Flow("taxid.check", "tax_id", "Look at a tax id's verification", gather, plan)
