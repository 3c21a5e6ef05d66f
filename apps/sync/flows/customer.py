"""Flow ``customer.sync``: one customer in one ERP, found by the match ladder or created, and in the billing platform.

Public surface: :data:`FLOW`. Subject key: ``<customer key>@<erp system code>``; ``params["entities"]`` lists the legal
entities that sell to it. The ladder: (1) our link, (2) ERP record under our external key, (3) the ERP id the CRM claims,
(4) tax id in the same country, (5) registration number, (6) domain or name in the same country, (7) similar name. Rungs 1
to 4 link by themselves when exactly one record is found; 5 to 7 only suggest, a person decides.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any

from rapidfuzz import fuzz

from apps.canonical.money import Money
from apps.canonical.objects import Customer
from apps.connectors.spi import Observed
from apps.core import clock
from apps.governance import selectors as governance
from apps.organization import selectors as organization
from apps.sync.flows import base
from apps.sync.flows.base import Context, Flow, Meta
from apps.sync.models import OPEN, Transaction
from apps.sync.plans import Draft, PlannedAction, Problem, blocked, push, unchanged

#: Rungs that link by themselves, in order; then rungs that only suggest.
EXACT = ("key", "claimed_id", "tax_id")
SUGGEST = ("registration", "domain", "name")
SIMILAR_ENOUGH = 88.0
_LEGAL_FORM = re.compile(
    r"\b(ltd|limited|plc|inc|llc|corp|corporation|bv|nv|sa|sas|gmbh|ag|ab|as|oy|spa|srl)\b\.?", re.I
)


@dataclass(frozen=True)
class Candidate:
    """An ERP record that may be this customer. ``rung`` says why; ``score`` is 0 to 100."""

    rung: str
    score: float
    external_id: str
    name: str
    url: str
    inactive: bool


@dataclass(frozen=True)
class CustomerSnapshot:
    key: str
    as_of: datetime
    meta: Meta
    customer: Customer | None
    crm: Any
    crm_id: str
    erp: Any
    billing_system: Any
    entities: tuple[Any, ...] = ()
    #: Per entity code: what its ERP needs to hold this customer.
    settings: dict[str, dict[str, Any]] = field(default_factory=dict)
    linked: Observed | None = None
    linked_id: str = ""
    exact_rung: str = ""
    exact: tuple[Observed, ...] = ()
    suggested: tuple[Candidate, ...] = ()
    billing_id: str = ""
    crm_knows: bool = False

    @property
    def record(self) -> Observed | None:
        """The one ERP record that is this customer, linked, chosen by a person or matched exactly."""
        return self.linked or (self.exact[0] if len(self.exact) == 1 else None)


def push_key(customer_key: str) -> str:
    """Our external key of a customer in a vendor system: letters, digits, ``-`` and ``_`` only (NetSuite's eid rule)."""
    return "cus-" + re.sub(r"[^A-Za-z0-9_-]", "-", customer_key)


def gather(context: Context) -> CustomerSnapshot:
    customer_key, _, erp_code = context.key.rpartition("@")
    crm, crm_id = base.split_key(customer_key)
    erp = organization.system(erp_code)
    known = (organization.entity(code) for code in sorted(context.params.get("entities", [])))
    entities = tuple(entity for entity in known if entity is not None)
    account = base.read_one(context, system=crm, object_type="customer", external_id=crm_id)
    customer = account.body if account else None
    first = entities[0] if entities else None
    held = _held(customer_key)
    meta = Meta(
        label=customer.name if customer else customer_key,  # type: ignore[attr-defined]
        customer=customer.name if customer else "",  # type: ignore[attr-defined]
        customer_key=customer_key,
        legal_entity_id=first.id if first else None,
        currency=held.currency if held else "",
        amount=held.amount if held else None,
    )
    billing_route = organization.route(first.id, "billing") if first else None
    billing_system = billing_route.system if billing_route else None
    linked_id = base.link_id("customer", customer_key, erp)
    shared = {
        "key": context.key,
        "as_of": clock.now(),
        "meta": meta,
        "customer": customer,
        "crm": crm,
        "crm_id": crm_id,
        "erp": erp,
        "billing_system": billing_system,
        "entities": entities,
        "settings": {e.code: _settings(e, customer, context) for e in entities} if customer else {},
        "linked_id": linked_id,
        "billing_id": base.link_id("customer", customer_key, billing_system),
        "crm_knows": bool(base.link_id("customer_ref", customer_key, crm)),
    }
    known_id = linked_id or str(context.params.get("chosen_id", ""))
    if customer is None or not (known_id or context.live):
        return CustomerSnapshot(**shared)
    if known_id:
        linked = base.read_one(context, system=erp, object_type="customer", external_id=known_id)
        return CustomerSnapshot(**shared, linked=linked)
    rung, exact, suggested = _climb(context, erp, customer)  # type: ignore[arg-type]
    return CustomerSnapshot(**shared, exact_rung=rung, exact=exact, suggested=suggested)


def _held(customer_key: str) -> Money | None:
    """Billing of the customer's open deals, which wait for it; None as soon as one is unknown or in another currency."""
    rows = Transaction.objects.filter(customer_key=customer_key, flow="deal.provision", state__in=OPEN)
    figures = list(rows.values_list("amount", "currency"))
    known = [amount for amount, _currency in figures if amount is not None]
    if len(known) < len(figures) or len({currency for _amount, currency in figures}) != 1:
        return None
    return Money.of(sum(known, Decimal(0)), figures[0][1])


def _settings(entity: Any, customer: Any, context: Context) -> dict[str, Any]:
    route = organization.route(entity.id, "erp")
    settings = dict(route.settings) if route else {}
    terms = governance.translate(
        kind="payment_terms",
        legal_entity_id=entity.id,
        source=customer.payment_terms,
        overlay=context.overlay,
    )
    currency = governance.translate(
        kind="currency",
        legal_entity_id=entity.id,
        source=customer.currency or entity.currency,
        overlay=context.overlay,
    )
    return {
        "subsidiary": settings.get("subsidiary", ""),
        "terms_id": terms.target if terms else "",
        "currency_id": currency.target if currency else "",
    }


def _climb(
    context: Context, erp: Any, customer: Customer
) -> tuple[str, tuple[Observed, ...], tuple[Candidate, ...]]:
    looked_for = {
        "key": push_key(customer.key),
        "claimed_id": customer.claimed_erp_id,
        "tax_id": customer.tax_id,
        "registration": customer.registration_number,
        "domain": _domain(customer),
        "name": customer.name,
    }
    for rung in EXACT:
        found = _look(context, erp, rung, looked_for[rung], customer)
        if found:
            return rung, found, ()
    suggested: dict[str, Candidate] = {}
    for rung in SUGGEST:
        for seen in _look(context, erp, rung, looked_for[rung], customer):
            candidate = _candidate(rung, seen, customer)
            if candidate.score >= SIMILAR_ENOUGH or rung == "registration":
                suggested.setdefault(candidate.external_id, candidate)
    return "", (), tuple(sorted(suggested.values(), key=lambda c: (-c.score, c.external_id)))


def _look(context: Context, erp: Any, rung: str, value: str, customer: Customer) -> tuple[Observed, ...]:
    if not value:
        return ()
    country = customer.billing_address.country or ""
    found = base.read_many(
        context, system=erp, object_type="customer", by=rung, value=value, extra={"country": country}
    )
    if rung in ("key", "claimed_id") or not country:
        return tuple(found)
    return tuple(seen for seen in found if seen.body.billing_address.country in (None, country))  # type: ignore[attr-defined]


def _candidate(rung: str, seen: Observed, customer: Customer) -> Candidate:
    name = seen.body.name  # type: ignore[attr-defined]
    score = round(fuzz.token_sort_ratio(normal_name(customer.name), normal_name(name)), 1)
    return Candidate(rung, score, seen.external_id, name, seen.url, bool(seen.facts.get("inactive")))


def normal_name(name: str) -> str:
    """Lower case without legal form and punctuation: ``Corvane Insurance Ltd.`` → ``corvane insurance``."""
    return " ".join(re.sub(r"[^\w\s]", " ", _LEGAL_FORM.sub(" ", name.lower())).split())


def _domain(customer: Customer) -> str:
    site = re.sub(r"^https?://(www\.)?", "", customer.website.strip().lower()).split("/")[0]
    return site or customer.email.rpartition("@")[2].lower()


def plan(snapshot: CustomerSnapshot) -> Draft:
    customer = snapshot.customer
    if customer is None:
        problem = Problem(
            "DEAL-INCOMPLETE",
            "customer",
            "customer",
            "account",
            snapshot.crm_id,
            "The account no longer exists in the CRM.",
        )
        return Draft((blocked("customer", "There is no account to work from."),), (problem,))
    undecided = _undecidable(snapshot, customer)
    if undecided is not None:
        return Draft((blocked("erp.customer", "A person decides which customer it is."),), (undecided,))
    actions = [
        _erp_step(snapshot, customer),
        *_entity_steps(snapshot, customer),
        _billing_step(snapshot, customer),
    ]
    if not snapshot.crm_knows:
        actions.append(
            push(
                "crm.customer_ref",
                "The CRM learns the ERP's customer number.",
                system=snapshot.crm,
                object_type="customer_ref",
                operation="update",
                key=snapshot.crm_id,
                link_key=customer.key,
                external_id=snapshot.crm_id,
                refs={"customer": ("customer", customer.key, snapshot.erp.code)},
            )
        )
    return Draft(tuple(actions), summary=f"{customer.name} in {snapshot.erp.name}.")


def _undecidable(snapshot: CustomerSnapshot, customer: Customer) -> Problem | None:
    erp = snapshot.erp.name
    if len(snapshot.exact) > 1:
        return _ambiguous(snapshot, customer)
    record = snapshot.record
    if record is not None and record.facts.get("inactive"):
        return Problem(
            "CUS-INACTIVE",
            "customer",
            "customer",
            "status",
            record.external_id,
            f"{customer.name} is inactive in {erp} (record {record.external_id}).",
            {"candidates": [_evidence(_candidate(snapshot.exact_rung or "link", record, customer))]},
        )
    if record is None and snapshot.suggested:
        best = snapshot.suggested[0]
        return Problem(
            "CUS-DUP",
            "customer",
            "customer",
            "name",
            "",
            f"{customer.name} may already be in {erp}: {best.name} ({best.external_id}) matches by {best.rung}, "
            f"similarity {best.score:g} %.",
            {"candidates": [_evidence(candidate) for candidate in snapshot.suggested]},
        )
    return None


def _ambiguous(snapshot: CustomerSnapshot, customer: Customer) -> Problem:
    rung = snapshot.exact_rung
    candidates = [_candidate(rung, seen, customer) for seen in snapshot.exact]
    names = " and ".join(f"{c.name} ({c.external_id})" for c in candidates)
    by_tax_id = rung == "tax_id"
    because = f"share the tax id {customer.tax_id}" if by_tax_id else "carry the same external id"
    return Problem(
        "CUS-DUP" if by_tax_id else "CUS-AMBIG-EXTID",
        "customer",
        "customer",
        rung,
        customer.tax_id if by_tax_id else "",
        f"{names} in {snapshot.erp.name} {because}.",
        {"candidates": [_evidence(candidate) for candidate in candidates]},
    )


def _evidence(candidate: Candidate) -> dict[str, Any]:
    return {
        "external_id": candidate.external_id,
        "name": candidate.name,
        "rung": candidate.rung,
        "score": candidate.score,
        "inactive": candidate.inactive,
        "url": candidate.url,
    }


def _erp_step(snapshot: CustomerSnapshot, customer: Customer) -> PlannedAction:
    if snapshot.linked_id:
        why = f"{customer.name} is {snapshot.erp.name} record {snapshot.linked_id}."
        return unchanged(
            "erp.customer", why, system=snapshot.erp, object_type="customer", external_id=snapshot.linked_id
        )
    if snapshot.record is not None:
        rung = snapshot.exact_rung or "person"
        reason = {
            "key": "it carries our external key",
            "claimed_id": "the CRM names this record",
            "tax_id": "same tax id and country",
            "person": "a person chose it",
        }
        return PlannedAction(
            "erp.customer",
            "link",
            f"Link record {snapshot.record.external_id}: {reason[rung]}.",
            snapshot.erp.id,
            snapshot.erp.code,
            "customer",
            "link",
            push_key(customer.key),
            link_key=customer.key,
            external_id=snapshot.record.external_id,
            values={"evidence": rung},
        )
    first = snapshot.entities[0]
    return push(
        "erp.customer",
        f"No record in {snapshot.erp.name} is this customer; one is created.",
        system=snapshot.erp,
        object_type="customer",
        operation="create",
        key=push_key(customer.key),
        link_key=customer.key,
        body=customer,
        settings=snapshot.settings[first.code],
    )


def _entity_steps(snapshot: CustomerSnapshot, customer: Customer) -> list[PlannedAction]:
    """Enable the customer for each selling entity's subsidiary; a customer just created has the first one's."""
    if snapshot.record is not None:
        enabled = {str(subsidiary) for subsidiary in snapshot.record.facts.get("subsidiaries", [])}
    else:
        enabled = {snapshot.settings[snapshot.entities[0].code]["subsidiary"]}
    return [
        push(
            f"erp.customer.{entity.code}",
            f"{customer.name} is enabled for {entity.name}.",
            system=snapshot.erp,
            object_type="customer",
            operation="enable_entity",
            key=f"{push_key(customer.key)}-{snapshot.settings[entity.code]['subsidiary']}",
            link_key=f"{customer.key}@{entity.code}",
            refs={"customer": ("customer", customer.key)},
            settings=snapshot.settings[entity.code],
        )
        for entity in snapshot.entities
        if snapshot.settings[entity.code]["subsidiary"]
        and snapshot.settings[entity.code]["subsidiary"] not in enabled
    ]


def _billing_step(snapshot: CustomerSnapshot, customer: Customer) -> PlannedAction:
    if snapshot.billing_id:
        return unchanged(
            "billing.customer",
            f"{customer.name} is known to {snapshot.billing_system.name}.",
            system=snapshot.billing_system,
            object_type="customer",
            external_id=snapshot.billing_id,
        )
    return push(
        "billing.customer",
        f"{snapshot.billing_system.name} gets the customer it will ask for payment.",
        system=snapshot.billing_system,
        object_type="customer",
        operation="create",
        key=push_key(customer.key),
        link_key=customer.key,
        body=customer,
    )


FLOW = Flow("customer.sync", "customer", "Synchronise a customer", gather, plan)
