"""The pure checks of a closed deal and its customer: each returns the problems it finds, as sentences with both values.

Public surface: :func:`deal_problems` (nothing may be written), :func:`customer_problems`, :func:`service_problems`,
:func:`billing_problems`; :func:`date_problems` (told beside); :func:`lacking` (of an address), :func:`held_amount`. The
problems are asked for in this order and later stages only when the earlier are clean, so that money is counted once, under its
root cause. Codes: see ``docs/catalogue.md``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any

from apps.canonical import taxids
from apps.canonical.money import minor_unit_exponent, total
from apps.canonical.objects import Address, Customer, Deal
from apps.sync.plans import Problem

#: Countries whose invoices need a state or province (tax is decided there).
REGION_REQUIRED = frozenset({"US", "CA", "AU"})
SCHEDULED = frozenset({"milestone", "instalment", "fixed", "retainer"})
TIME_BASED = frozenset({"time_and_materials", "capped_time_and_materials"})


def deal_problems(deal: Deal, *, entity: Any) -> list[Problem]:
    """Stage one: is this deal whole, signed, consistent, and whose is it?"""
    found = [*_completeness(deal), *_signature(deal), *_currency(deal), *_totals(deal)]
    if not deal.legal_entity_code:
        found.append(
            _problem(
                "CUS-LE-MISSING",
                "deal",
                "deal",
                "legal_entity_code",
                "",
                "The deal names no contracting legal entity.",
            )
        )
    elif entity is None:
        found.append(
            _problem(
                "CUS-LE-MISSING",
                "deal",
                "deal",
                "legal_entity_code",
                deal.legal_entity_code,
                f"The deal is contracted by “{deal.legal_entity_code}”, which is no legal entity of ours.",
            )
        )
    elif not entity.active:
        successor = f"; its successor is {entity.successor.name}" if entity.successor_id else ""
        found.append(
            _problem(
                "CUS-LE-INACTIVE",
                "deal",
                "deal",
                "legal_entity_code",
                deal.legal_entity_code,
                f"{entity.name} is closed and takes no new engagements{successor}.",
            )
        )
    else:
        found += _own_tax_id(entity)
    return found


def _own_tax_id(entity: Any) -> Iterable[Problem]:
    """An invoice shows the seller's tax id too; a wrong one makes it no invoice."""
    wrong = taxids.fault(entity.country, entity.tax_id)
    if wrong:
        yield _problem(
            "CUS-TAXID-INVALID",
            "deal",
            "legal_entity",
            "tax_id",
            entity.tax_id,
            f"“{entity.tax_id}” of our legal entity {entity.name} is no valid tax id of {entity.country}: {wrong}.",
            country=entity.country,
            legal_entity=entity.code,
        )


def _completeness(deal: Deal) -> Iterable[Problem]:
    needed: dict[str, bool] = {
        "customer": bool(deal.customer_key),
        "billing type": deal.billing_model is not None,
        "start date": deal.start_on is not None,
        "service lines": bool(deal.lines),
        "contract": deal.contract is not None,
    }
    models = {line.billing_model or deal.billing_model for line in deal.lines}
    if models & SCHEDULED:
        needed["billing schedule"] = bool(deal.schedule)
    missing = [name for name, present in needed.items() if not present]
    if missing:
        names = ", ".join(missing)
        yield _problem(
            "DEAL-INCOMPLETE",
            "deal",
            "deal",
            "required",
            names,
            f"The deal was closed without: {names}.",
            missing=missing,
        )


def _signature(deal: Deal) -> Iterable[Problem]:
    contract = deal.contract
    if contract is not None and contract.status != "activated":
        status = contract.status.replace("_", " ")
        yield _problem(
            "DEAL-UNSIGNED",
            "deal",
            "contract",
            "status",
            contract.status,
            f"Contract {contract.number or contract.key} is “{status}”, it must be activated (signed) before work is billed.",
        )


def _currency(deal: Deal) -> Iterable[Problem]:
    others = sorted(
        {line.amount.currency for line in deal.lines} | {rate.bill_rate.currency for rate in deal.rates}
    )
    wrong = [currency for currency in others if currency != deal.currency]
    if wrong:
        yield _problem(
            "DEAL-LINE-CCY",
            "deal",
            "deal",
            "currency",
            ",".join(wrong),
            f"The deal is in {deal.currency}, but lines or rates are in {', '.join(wrong)}.",
            header=deal.currency,
            lines=wrong,
        )


def _totals(deal: Deal) -> Iterable[Problem]:
    if not deal.lines or any(line.amount.currency != deal.currency for line in deal.lines):
        return
    lines = total((line.amount for line in deal.lines), deal.currency)
    tolerance = Decimal(len(deal.lines)).scaleb(-minor_unit_exponent(deal.currency))
    if abs(lines.amount - deal.amount.amount) > tolerance:
        yield _problem(
            "DEAL-TOTAL",
            "deal",
            "deal",
            "amount",
            "",
            f"The deal says {deal.amount}, its service lines add up to {lines}.",
            header=str(deal.amount),
            lines=str(lines),
        )


def customer_problems(
    deal: Deal, customer: Customer | None, *, entity: Any, terms_known: bool, currency_known: bool
) -> list[Problem]:
    """Stage two: can this customer be billed by this legal entity?"""
    if customer is None:
        return [
            _problem(
                "DEAL-INCOMPLETE",
                "customer",
                "deal",
                "customer",
                "",
                "The deal's account does not exist in the CRM.",
            )
        ]
    found = [*_address(customer), *_tax_id(customer)]
    if not currency_known:
        found.append(
            _problem(
                "CUS-CURRENCY",
                "customer",
                "deal",
                "currency",
                deal.currency,
                f"{entity.name} has no {deal.currency} in its ERP, the currency of this deal.",
            )
        )
    terms = deal.payment_terms or customer.payment_terms
    if terms and not terms_known:
        found.append(
            _problem(
                "CUS-TERMS",
                "customer",
                "customer",
                "payment_terms",
                terms,
                f"{customer.name} has payment terms “{terms}”, which {entity.name}'s ERP does not know.",
            )
        )
    return found


def lacking(address: Address) -> list[str]:
    """What an invoice needs and this address does not have, in words."""
    missing = [
        label
        for label, value in (
            ("street", address.line1),
            ("city", address.city),
            ("postal code", address.postal_code),
            ("country", address.country),
        )
        if not value
    ]
    if address.country in REGION_REQUIRED and not address.region:
        missing.append("state")
    return missing


def _address(customer: Customer) -> Iterable[Problem]:
    missing = lacking(customer.billing_address)
    if missing:
        names = ", ".join(missing)
        yield _problem(
            "CUS-ADDRESS",
            "customer",
            "customer",
            "billing_address",
            names,
            f"The billing address of {customer.name} lacks {names}, so tax cannot be decided.",
            missing=missing,
        )


def _tax_id(customer: Customer) -> Iterable[Problem]:
    country = customer.billing_address.country or ""
    wrong = taxids.fault(country, customer.tax_id)
    if wrong:
        yield _problem(
            "CUS-TAXID-INVALID",
            "customer",
            "customer",
            "tax_id",
            customer.tax_id,
            f"“{customer.tax_id}” of {customer.name} is no valid tax id of {country}: {wrong}.",
            country=country,
        )


def service_problems(
    deal: Deal, *, entity: Any, services: Mapping[str, Any], rates_known: bool
) -> list[Problem]:
    """Stage three: is every sold service mapped to a billing code, priced and scheduled?"""
    found = []
    for code in sorted({line.service_code for line in deal.lines}):
        if services.get(code) is None:
            name = next(
                (line.description for line in deal.lines if line.service_code == code and line.description),
                "",
            )
            title = f"{code} “{name}”" if name else code
            found.append(
                _problem(
                    "DEAL-SVC-UNMAPPED",
                    "project",
                    "service_item",
                    "service_code",
                    code,
                    f"Service {title} was sold, but {entity.name} has no billing code for it.",
                    service=code,
                    name=name,
                    legal_entity=entity.code,
                )
            )
    models = {line.billing_model or deal.billing_model for line in deal.lines}
    if models & TIME_BASED and not rates_known:
        found.append(
            _problem(
                "RES-ROLE-NO-RATE",
                "project",
                "rate_card",
                "role",
                "",
                "Work is billed by time, but neither the deal nor a rate card of the legal entity has a rate.",
            )
        )
    found += _schedule(deal)
    return found


def _schedule(deal: Deal) -> Iterable[Problem]:
    if not deal.schedule:
        return
    scheduled = total((entry.amount for entry in deal.schedule), deal.currency)
    lines = total(
        (line.amount for line in deal.lines if (line.billing_model or deal.billing_model) in SCHEDULED),
        deal.currency,
    )
    if scheduled != lines:
        yield _problem(
            "BILL-SCHED-SUM",
            "project",
            "billing_schedule",
            "amount",
            "",
            f"The billing schedule adds up to {scheduled}, the fixed-price service lines to {lines}.",
            schedule=str(scheduled),
            lines=str(lines),
        )


def billing_problems(deal: Deal, customer: Customer) -> list[Problem]:
    """Stage four: what the customer insists on before an invoice."""
    if customer.po_required and not deal.po_number:
        return [
            _problem(
                "CUS-PO-REQUIRED",
                "project",
                "deal",
                "po_number",
                "",
                f"{customer.name} pays only against a purchase order, and the deal has no PO number.",
            )
        ]
    return []


def date_problems(deal: Deal) -> list[Problem]:
    """Told beside the set-up, which goes on: work that began before anybody had signed for it."""
    contract, start = deal.contract, deal.start_on
    if contract is None or contract.signed_on is None or start is None or start >= contract.signed_on:
        return []
    return [
        _problem(
            "DEAL-BACKDATED",
            "deal",
            "deal",
            "start_on",
            "",
            f"The engagement starts on {start.isoformat()}, its contract {contract.number or contract.key} was signed on "
            f"{contract.signed_on.isoformat()}.",
            start=start.isoformat(),
            signed=contract.signed_on.isoformat(),
        )
    ]


def held_amount(deal: Deal, until: Any) -> Decimal | None:
    """Billing held by this invoice run: dated instalments due by ``until``; unknown for time that is not yet worked."""
    models = {line.billing_model or deal.billing_model for line in deal.lines}
    if models & TIME_BASED:
        return None
    due = [
        entry.amount
        for entry in deal.schedule
        if entry.trigger == "date" and entry.due_on and entry.due_on <= until
    ]
    try:
        return total(due, deal.currency).amount
    except ValueError:
        return None


def _problem(
    code: str, step: str, object_type: str, field: str, value: str, reason: str, **params: Any
) -> Problem:
    return Problem(code, step, object_type, field, value, reason, params)
