"""Flow ``customer.sync``: one customer in one ERP, found by the match ladder or created, and in the billing platform.

Public surface: :data:`FLOW`. Subject key: ``<customer key>@<erp system code>``; ``params["entities"]`` lists the legal
entities that sell to it; a run serves those whose apply gate is the widest (:mod:`apps.sync.gates`). The ladder: (1) our
link, (2) ERP record under our external key, (3) the ERP id the CRM claims, (4) tax id in the same country, (5) registration
number, (6) domain or name in the same country, (7) similar name. Rungs 1 to 4 link by themselves when exactly one record is
found; 5 to 7 only suggest, a person decides. A record that is known takes over what the CRM owns and has changed
(:mod:`apps.sync.flows.masterdata`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any, cast

from django.db.models import OuterRef, Subquery

from apps.canonical.money import Money
from apps.canonical.objects import Customer
from apps.connectors.spi import Observed
from apps.core import clock
from apps.governance import selectors as governance
from apps.organization import selectors as organization
from apps.records import selectors as records
from apps.sync import decisions, gates
from apps.sync.flows import base, masterdata
from apps.sync.flows.base import Context, Flow, Meta
from apps.sync.flows.matching import Candidate, candidate_of, climb, push_key
from apps.sync.models import OPEN, RUNNABLE, Plan, State, Transaction
from apps.sync.plans import Draft, PlannedAction, Problem, blocked, push, unchanged

#: A deal waits; or something of it has changed, and it is planned again and will wait again.
_WAITING = (State.WAITING, *RUNNABLE)


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
    #: ``(key, name)`` of the customer that the one record found exactly is already; empty when it is nobody's or ours.
    taken_by: tuple[str, ...] = ()
    billing_id: str = ""
    crm_knows: bool = False
    #: Who is right about which field of the customer, by the ownership rules in force.
    owners: Mapping[str, governance.Ownership] = field(default_factory=dict)
    #: The same customer as other ERPs of the group last showed it: (ERP's name, record).
    elsewhere: tuple[tuple[str, Customer], ...] = ()

    @property
    def record(self) -> Observed | None:
        """The one ERP record that is this customer, linked or matched exactly."""
        return self.linked or (self.exact[0] if len(self.exact) == 1 else None)


def gather(context: Context) -> CustomerSnapshot:
    customer_key, _, erp_code = context.key.rpartition("@")
    crm, crm_id = base.split_key(customer_key)
    erp = organization.system(erp_code)
    known = (organization.entity(code) for code in sorted(context.params.get("entities", [])))
    sellers = tuple(entity for entity in known if entity is not None)
    entities, left_out = gates.lead("customer.sync", sellers)
    account = base.read_one(context, system=crm, object_type="customer", external_id=crm_id)
    read_at = clock.now()
    customer = account.body if account else None
    first = entities[0] if entities else None
    held = _held(context.key, first)
    meta = Meta(
        label=customer.name if customer else customer_key,  # type: ignore[attr-defined]
        customer=customer.name if customer else "",  # type: ignore[attr-defined]
        customer_key=customer_key,
        legal_entity_id=first.id if first else None,
        currency=held.currency if held else "",
        amount=held.amount if held else None,
        left_out=left_out,
    )
    billing_route = organization.route(first.id, "billing") if first else None
    billing_system = billing_route.system if billing_route else None
    linked_id = base.link_id("customer", customer_key, erp)
    shared = {
        "key": context.key,
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
        "owners": masterdata.owners(entity.id for entity in sellers),
        "elsewhere": _elsewhere(customer_key, erp),
    }
    if customer is None:
        return CustomerSnapshot(**shared, as_of=context.oldest(read_at))
    if linked_id:
        linked = base.read_one(context, system=erp, object_type="customer", external_id=linked_id)
        return CustomerSnapshot(**shared, as_of=context.oldest(read_at), linked=linked)
    rung, exact, suggested = _candidates(context, erp, customer)  # type: ignore[arg-type]
    return CustomerSnapshot(
        **shared,
        as_of=context.oldest(read_at),
        exact_rung=rung,
        exact=exact,
        suggested=suggested,
        taken_by=_taken_by(customer_key, erp, exact),
    )


def _taken_by(customer_key: str, erp: Any, exact: tuple[Observed, ...]) -> tuple[str, ...]:
    """One record of the ERP cannot be two accounts of the CRM."""
    key = records.key_of(erp.pk, "customer", exact[0].external_id) if len(exact) == 1 else None
    return (key, base.customer_name(key)) if key and key != customer_key else ()


def _candidates(
    context: Context, erp: Any, customer: Customer
) -> tuple[str, tuple[Observed, ...], tuple[Candidate, ...]]:
    """What the ladder finds, or the record that a person has chosen; a chosen one that is gone is looked for anew."""
    choice = decisions.customer_choice(context.decisions)
    if choice:
        found = base.read_one(context, system=erp, object_type="customer", external_id=choice)
        if found is not None:
            return "chosen", (found,), ()
    rung, exact, suggested = climb(context, erp, customer)
    return (rung, exact, suggested) if choice is None or exact else ("", (), ())


def _elsewhere(customer_key: str, erp: Any) -> tuple[tuple[str, Customer], ...]:
    found = []
    for system in organization.systems(kind="erp"):
        external_id = base.link_id("customer", customer_key, system) if system.pk != erp.pk else ""
        seen = records.record(system.pk, "customer", external_id) if external_id else None
        if seen is not None and not seen.deleted:
            found.append((system.name, Customer.model_validate(seen.body)))
    return tuple(found)


def _held(subject_key: str, first: Any) -> Money | None:
    """Billing of the deals that wait for this customer, nothing where none does; None as soon as one is unknown or in another
    currency. A deal that is stopped by itself too is not among them: the case of that holds its billing."""
    rows = Transaction.objects.filter(
        flow="deal.provision",
        state__in=_WAITING,
        children__child__subject__kind="customer",
        children__child__subject__key=subject_key,
        children__child__state__in=[*OPEN, State.DEAD],
    )
    last_plan = Plan.objects.filter(transaction=OuterRef("pk")).order_by("-id").values("actions")[:1]
    figures = [
        (amount, currency)
        for amount, currency, actions in rows.values_list("amount", "currency", Subquery(last_plan))
        if not any(action["kind"] == "blocked" for action in actions or ())
    ]
    if not figures:
        return Money.of(0, first.currency) if first else None
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
        *_correction(snapshot, customer),
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
    told = (*_conflicts(snapshot), *_drifts(snapshot, customer))
    return Draft(tuple(actions), told, f"{customer.name} in {snapshot.erp.name}.")


def _conflicts(snapshot: CustomerSnapshot) -> tuple[Problem, ...]:
    """Where two ERPs of the group say different things of the customer; told beside, nothing is overwritten."""
    if snapshot.record is None:
        return ()
    ours, found = cast(Customer, snapshot.record.body), []
    for name, theirs in snapshot.elsewhere:
        for what, words in (("payment_terms", "payment terms"), ("tax_id", "tax id")):
            here, there = getattr(ours, what), getattr(theirs, what)
            if here and there and here.replace(" ", "") != there.replace(" ", ""):
                reason = (
                    f"{snapshot.erp.name} has the {words} “{here}” for {ours.name}, {name} has “{there}”."
                )
                values = {"here": here, "there": there, "other": name}
                found.append(
                    Problem("CUS-BU-CONFLICT", "customer", "customer", what, ours.name, reason, values)
                )
    return tuple(found)


def _drifts(snapshot: CustomerSnapshot, customer: Customer) -> list[Problem]:
    """Where CRM and ERP differ in what the rules leave to a person; told beside, the rest of the run goes on."""
    if snapshot.record is None:
        return []
    systems = {"crm": snapshot.crm.name, "erp": snapshot.erp.name}
    shown = cast(Customer, snapshot.record.body)
    return masterdata.drifts(erp=shown, crm=customer, owners=snapshot.owners, systems=systems)


def _undecidable(snapshot: CustomerSnapshot, customer: Customer) -> Problem | None:
    erp = snapshot.erp.name
    if len(snapshot.exact) > 1:
        return _ambiguous(snapshot, customer)
    record = snapshot.record
    if record is not None and snapshot.taken_by:
        return _taken(snapshot, customer, record)
    if record is not None and record.facts.get("inactive"):
        return Problem(
            "CUS-INACTIVE",
            "customer",
            "customer",
            "status",
            record.external_id,
            f"{customer.name} is inactive in {erp} (record {record.external_id}).",
            {"candidates": [_evidence(candidate_of(snapshot.exact_rung or "link", record, customer))]},
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


def _taken(snapshot: CustomerSnapshot, customer: Customer, record: Observed) -> Problem:
    """Two accounts of the CRM are one record of the ERP: they are merged there, or one of them has the wrong tax id."""
    rung = snapshot.exact_rung
    because = {
        "tax_id": f"by the tax id {customer.tax_id}",
        "claimed_id": "because the CRM names it",
        "key": "by its external key",
        "chosen": "by a person's choice",
    }[rung]
    found = candidate_of(rung, record, customer)
    return Problem(
        "CUS-DUP",
        "customer",
        "customer",
        rung,
        customer.tax_id if rung == "tax_id" else "",
        f"{customer.name} ({customer.key}) would be {found.name} ({found.external_id}) in {snapshot.erp.name} {because}, "
        f"which is {snapshot.taken_by[1] or 'another account'} ({snapshot.taken_by[0]}) already.",
        {"candidates": [_evidence(found)], "taken_by": snapshot.taken_by[0]},
    )


def _ambiguous(snapshot: CustomerSnapshot, customer: Customer) -> Problem:
    rung = snapshot.exact_rung
    candidates = [candidate_of(rung, seen, customer) for seen in snapshot.exact]
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
        rung = snapshot.exact_rung
        reason = {
            "key": "it carries our external key",
            "claimed_id": "the CRM names this record",
            "tax_id": "same tax id and country",
            "chosen": "a person has chosen it",
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


def _correction(snapshot: CustomerSnapshot, customer: Customer) -> list[PlannedAction]:
    """What the CRM owns and the ERP's record shows differently is written to the record; nothing when all is the same."""
    if snapshot.record is None:
        return []
    shown = cast(Customer, snapshot.record.body)
    found = masterdata.corrections(erp=shown, crm=customer, owners=snapshot.owners)
    if not found:
        return []
    names = ", ".join(masterdata.WORDS[one.field] for one in found)
    rules = "; ".join(one.rule for one in found)
    return [
        push(
            "erp.customer_update",
            f"The CRM owns {names} of {customer.name} and says something else than {snapshot.erp.name} ({rules}).",
            system=snapshot.erp,
            object_type="customer",
            operation="update",
            key=push_key(customer.key),
            link_key=customer.key,
            external_id=snapshot.record.external_id,
            body=customer,
            fields=tuple(one.field for one in found),
            changes=tuple({"field": one.field, "old": one.old, "new": one.new} for one in found),
            rule=rules,
        )
    ]


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
