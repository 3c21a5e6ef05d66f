"""Flow ``payment.apply``: what a customer paid on the billing platform reaches ERP, CRM and console.

Public surface: :data:`FLOW`. Subject key: the prebill's reference, shared with ``invoice.sync`` so that the two never
overlap. Cash application stays in the ERP: a payment is applied to exactly the invoice it names, never by guess, and cash that
the ERP has applied by itself counts as paid here too.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Literal

from apps.canonical.money import Money
from apps.canonical.objects import Invoice, PaymentStatus
from apps.core import clock
from apps.sync.flows import invoice as invoices
from apps.sync.flows.base import Context, Flow
from apps.sync.plans import Draft, PlannedAction, Problem, local, push, unchanged


@dataclass(frozen=True)
class PaymentSnapshot:
    base: invoices.InvoiceSnapshot
    today: Any

    @property
    def meta(self) -> Any:
        return self.base.meta

    @property
    def as_of(self) -> Any:
        return self.base.as_of


def gather(context: Context) -> PaymentSnapshot:
    return PaymentSnapshot(base=invoices.gather(context), today=clock.today())


def plan(snapshot: PaymentSnapshot) -> Draft:
    base = snapshot.base
    if base.request is None or base.erp_invoice is None or not invoices.posted(base.erp_invoice):
        return Draft((), summary=f"{base.ref} has not been sent for payment yet.")
    asked: Invoice = base.request.body  # type: ignore[assignment]
    booked: Invoice = base.erp_invoice.body  # type: ignore[assignment]
    if asked.total is None or asked.balance is None or booked.total is None or booked.balance is None:
        return Draft((), summary=f"{base.ref} shows no totals yet.")
    asked_paid, applied = asked.total - asked.balance, booked.total - booked.balance
    cash = _cash(asked_paid - applied, booked.balance)
    paid = applied + cash
    status = _status(snapshot, asked, booked, paid)
    problems = tuple(_problems(snapshot, asked, booked, status))
    taken = [invoices.taken_over(base)] if invoices.changed_since(base) else []
    if not cash.amount and base.invoice.balance == status.balance and _is_known(base.state, status):
        why = f"{paid} of {booked.total} is paid, as known."
        nothing = unchanged("payment", why)
        return Draft((*taken, nothing), problems, summary=f"{base.ref}: nothing new was paid.")
    words = status.status.replace("_", " ")
    steps: list[PlannedAction] = taken
    if cash.amount:
        steps.append(_apply_cash(snapshot, cash, asked_paid))
    steps.append(
        invoices.status_push(
            base, words.capitalize(), invoice_status=status.status, paid_amount=str(paid.amount)
        )
    )
    if status.status == "paid":
        steps.append(
            local(
                "announce",
                "Announces the payment.",
                verb="announce_invoice",
                ref=base.ref,
                event_type=invoices.PAID_TYPE,
            )
        )
    # Last: what we know of the money says that ERP and CRM have been told.
    steps.append(
        local(
            "payment",
            f"{paid} of {booked.total} is paid.",
            verb="payment_observed",
            ref=base.ref,
            status=status.model_dump(mode="json"),
        )
    )
    return Draft(tuple(steps), problems, summary=f"{base.ref} is {words}.")


def _cash(new: Money, due: Money) -> Money:
    """What is to be applied in the ERP: what came in and is not applied yet, at most what is due there."""
    return Money.of(max(Decimal(0), min(new.amount, due.amount)), new.currency)


#: The state of a prebill in which a word about its money is no news.
_STATES = {"paid": "paid", "part_paid": "part_paid", "unpaid": "issued"}


def _is_known(state: str, status: PaymentStatus) -> bool:
    return state == _STATES[status.status] or (status.status == "unpaid" and state in ("posted", "disputed"))


def _apply_cash(snapshot: PaymentSnapshot, amount: Money, paid_so_far: Money) -> PlannedAction:
    base = snapshot.base
    return push(
        "erp.payment",
        f"{base.erp.name} applies {amount} to {base.invoice.number}.",
        system=base.erp,
        object_type="payment",
        operation="create",
        key=f"{base.ref}-P{paid_so_far.minor}",
        refs={"customer": ("customer", base.invoice.customer_key), "invoice": ("invoice", base.ref)},
        settings=base.erp_settings,
        values={
            "amount": str(amount.amount),
            "currency": amount.currency,
            "reference": str(base.request.facts.get("reference") or base.request_id),  # type: ignore[union-attr]
            "paid_on": snapshot.today.isoformat(),
        },
    )


def _status(snapshot: PaymentSnapshot, asked: Invoice, booked: Invoice, paid: Money) -> PaymentStatus:
    """Paid only when nothing is open: neither in the ERP, where the receivable is, nor on the billing platform."""
    assert booked.total is not None
    assert asked.balance is not None
    word: Literal["paid", "part_paid", "unpaid"] = "part_paid" if paid.amount > 0 else "unpaid"
    still_open = booked.total - paid
    if still_open.amount <= 0 and asked.balance.amount <= 0 and paid.amount > 0:
        word = "paid"
    return PaymentStatus(
        key=f"{snapshot.base.ref}-payment",
        invoice_key=snapshot.base.ref,
        status=word,
        paid=paid,
        balance=still_open,
        reference=snapshot.base.request_id,
    )


def _problems(
    snapshot: PaymentSnapshot, asked: Invoice, booked: Invoice, status: PaymentStatus
) -> Iterator[Problem]:
    assert booked.total is not None
    assert asked.balance is not None
    differ = invoices.totals_differ(snapshot.base, asked, booked)
    if differ is not None:
        yield differ
    open_there = asked.balance.amount
    if status.paid.amount and status.balance.amount > 0 and open_there > 0:
        yield _short(snapshot, booked, status)
    elif status.paid.amount and status.balance.amount <= 0 and open_there > 0:
        yield _outside(snapshot, asked.balance)


def _short(snapshot: PaymentSnapshot, booked: Invoice, status: PaymentStatus) -> Problem:
    """A part payment is work for receivables at once: is it a dispute, a deduction or a first instalment?"""
    paid, still_open = status.paid, status.balance
    number = snapshot.base.invoice.number
    return Problem(
        "PAY-SHORT",
        "payment",
        "invoice",
        "balance",
        "",
        f"{paid} was paid on {number} over {booked.total}; {still_open} is open.",
        {
            "paid": str(paid.amount),
            "total": str((paid + still_open).amount),
            "open": str(still_open.amount),
            "held": str(still_open.amount),
        },
    )


def _outside(snapshot: PaymentSnapshot, still_asked: Money) -> Problem:
    base = snapshot.base
    return Problem(
        "PAY-OUTSIDE",
        "payment",
        "invoice",
        "status",
        "",
        f"{base.erp.name} has {base.invoice.number} settled; {base.billing_system.name} still asks for {still_asked}.",
        {"open": str(still_asked.amount), "held": "0"},
    )


FLOW = Flow("payment.apply", "invoice", "Take over a payment", gather, plan)
