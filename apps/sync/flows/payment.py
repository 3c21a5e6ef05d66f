"""Flow ``payment.apply``: what a customer paid on the billing platform reaches ERP, CRM and console.

Public surface: :data:`FLOW`. Subject key: the prebill's reference, shared with ``invoice.sync`` so that the two never
overlap. Cash application stays in the ERP: a payment is applied to exactly the invoice it names, never by guess, and cash that
the ERP has applied by itself counts as paid here too. Money that was taken back opens the invoice again; what the platform had
collected before is never applied a second time. While the client disputes a payment the invoice is disputed, whatever is
paid of it; a dispute that was lost has taken its money back.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Literal

from apps.billing import selectors as billing
from apps.canonical.money import Money
from apps.canonical.money import total as money_total
from apps.canonical.objects import Invoice, PaymentStatus
from apps.core import clock
from apps.sync.flows import invoice as invoices
from apps.sync.flows.base import Context, Flow
from apps.sync.flows.issued import is_void
from apps.sync.plans import Draft, PlannedAction, Problem, blocked, local, push, unchanged


@dataclass(frozen=True)
class PaymentSnapshot:
    """``collected``: what the platform had collected when it was last taken over (None: not known); ``was_reversed``: some
    money had been taken back then."""

    base: invoices.InvoiceSnapshot
    today: Any
    collected: Money | None = None
    was_reversed: bool = False
    #: Of disputes: what still goes on (with the words for it), and what the client's bank has taken back for good.
    disputed: Money | None = None
    dispute_words: str = ""
    lost: Money | None = None
    #: How often money was taken back: what comes in afterwards is another payment, over whatever amount.
    times_reversed: int = 0

    @property
    def meta(self) -> Any:
        return self.base.meta

    @property
    def as_of(self) -> Any:
        return self.base.as_of


def gather(context: Context) -> PaymentSnapshot:
    seen, known = invoices.gather(context), billing.payment(_key(context.key))
    collected = known.collected if known is not None else None
    disputes, currency = billing.disputes(context.key), seen.invoice.currency
    going_on = [one for one in disputes if one.status == "open"]
    return PaymentSnapshot(
        disputed=_sum(going_on, currency) if going_on else None,
        dispute_words=_dispute_words(going_on),
        lost=_sum([one for one in disputes if one.status == "lost"], currency),
        base=seen,
        today=clock.today(),
        collected=None if collected is None else Money.of(collected, seen.invoice.currency),
        was_reversed=known is not None and known.status == "reversed",
        times_reversed=billing.times_reversed(context.key),
    )


def _key(ref: str) -> str:
    return f"{ref}-payment"


def _sum(disputes: Sequence[Any], currency: str) -> Money:
    return money_total((Money.of(one.amount, currency) for one in disputes), currency)


def _dispute_words(disputes: Sequence[Any]) -> str:
    """``“product not received”, to be answered by 2026-12-08``."""
    reasons = " and ".join(sorted({f"“{one.reason}”" for one in disputes if one.reason}))
    deadlines = [one.answer_by for one in disputes if one.answer_by is not None]
    until = f"to be answered by {min(deadlines).date().isoformat()}" if deadlines else ""
    return ", ".join(words for words in (reasons, until) if words)


@dataclass(frozen=True)
class _Cash:
    """What the two systems say of the money. ``standing``: received and not taken back; ``new``: to be applied in the ERP;
    ``back``: some of it was taken back; ``collected``: what is remembered of the platform."""

    standing: Money
    new: Money
    collected: Money
    back: bool


def _cash(snapshot: PaymentSnapshot, asked: Invoice, booked: Invoice) -> _Cash:
    """The ERP says what stands, the platform what came in since. Where the platform has taken money back that the ERP still
    has applied, that much does not stand, until the ERP has followed."""
    asked_paid, applied = _collected(snapshot, asked), _paid(booked)
    known = _paid(snapshot.base.invoice)
    collected = snapshot.collected
    if collected is None:
        collected = min(asked_paid, known, key=lambda money: money.amount)
    followed = snapshot.was_reversed and applied.amount <= known.amount
    gap = Decimal(0) if followed else max(Decimal(0), (collected - asked_paid).amount)
    standing = max(Decimal(0), applied.amount - gap)
    had = max(collected.amount, applied.amount)
    due = booked.balance.amount if booked.balance is not None else Decimal(0)
    currency = asked.currency
    return _Cash(
        standing=Money.of(standing, currency),
        new=Money.of(max(Decimal(0), min(asked_paid.amount - had, due)), currency),
        collected=collected if gap else asked_paid,
        back=standing < known.amount or gap > 0 or snapshot.was_reversed,
    )


def _collected(snapshot: PaymentSnapshot, asked: Invoice) -> Money:
    """What the platform has and keeps: a request stays paid there although the money was given back in a lost dispute."""
    paid, lost = _paid(asked), snapshot.lost
    return paid if lost is None else Money.of(max(Decimal(0), (paid - lost).amount), paid.currency)


def _paid(invoice: Invoice) -> Money:
    if invoice.total is None or invoice.balance is None:
        return Money.of(0, invoice.currency)
    return invoice.total - invoice.balance


def plan(snapshot: PaymentSnapshot) -> Draft:
    base = snapshot.base
    if base.request is None or base.erp_invoice is None or not invoices.posted(base.erp_invoice):
        return Draft((), summary=f"{base.ref} has not been sent for payment yet.")
    asked: Invoice = base.request.body  # type: ignore[assignment]
    booked: Invoice = base.erp_invoice.body  # type: ignore[assignment]
    if asked.total is None or asked.balance is None or booked.total is None or booked.balance is None:
        return Draft((), summary=f"{base.ref} shows no totals yet.")
    gone = invoices.tampered_with(base) if is_void(base.erp_invoice) else None
    if gone is not None:
        # Nothing is open on a void invoice, which does not mean that anybody has paid it.
        return Draft(
            (blocked("payment", "A person decides what becomes of its work."),), (gone,), gone.reason
        )
    cash = _cash(snapshot, asked, booked)
    paid = cash.standing + cash.new
    status = _status(snapshot, asked, booked, paid, back=cash.back)
    problems = tuple(_problems(snapshot, asked, booked, status))
    taken = [invoices.taken_over(base)] if invoices.changed_since(base) else []
    if not cash.new.amount and _is_known(snapshot, status, cash):
        why = f"{paid} of {booked.total} is paid, as known."
        nothing = unchanged("payment", why)
        return Draft((*taken, nothing), problems, summary=f"{base.ref}: nothing new was paid.")
    words = status.status.replace("_", " ")
    steps: list[PlannedAction] = taken
    if cash.new.amount:
        steps.append(_apply_cash(snapshot, cash.new, _collected(snapshot, asked)))
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
            collected=cash.collected.model_dump(mode="json"),
        )
    )
    return Draft(tuple(steps), problems, summary=f"{base.ref} is {words}.")


#: The states of a prebill in which a word about its money is no news.
_STATES = {
    "paid": {"paid"},
    "part_paid": {"part_paid"},
    "unpaid": {"issued", "posted"},
    "reversed": {"issued", "part_paid"},
    "disputed": {"disputed"},
}


def _is_known(snapshot: PaymentSnapshot, status: PaymentStatus, cash: _Cash) -> bool:
    base = snapshot.base
    same = base.state in _STATES[status.status] and base.invoice.balance == status.balance
    return (
        same
        and snapshot.was_reversed == (status.status == "reversed")
        and snapshot.collected in (None, cash.collected)
    )


def _apply_cash(snapshot: PaymentSnapshot, amount: Money, paid_so_far: Money) -> PlannedAction:
    base = snapshot.base
    again = f"-R{snapshot.times_reversed}" if snapshot.times_reversed else ""
    return push(
        "erp.payment",
        f"{base.erp.name} applies {amount} to {base.invoice.number}.",
        system=base.erp,
        object_type="payment",
        operation="create",
        key=f"{base.ref}-P{paid_so_far.minor}{again}",
        refs={"customer": ("customer", base.invoice.customer_key), "invoice": ("invoice", base.ref)},
        settings=base.erp_settings,
        values={
            "amount": str(amount.amount),
            "currency": amount.currency,
            "reference": str(base.request.facts.get("reference") or base.request_id),  # type: ignore[union-attr]
            "paid_on": snapshot.today.isoformat(),
        },
    )


def _status(
    snapshot: PaymentSnapshot, asked: Invoice, booked: Invoice, paid: Money, *, back: bool
) -> PaymentStatus:
    """Paid only when nothing is open: neither in the ERP, where the receivable is, nor on the billing platform."""
    assert booked.total is not None
    assert asked.balance is not None
    word: Literal["paid", "part_paid", "unpaid", "reversed", "disputed"] = (
        "part_paid" if paid.amount > 0 else "unpaid"
    )
    if back:
        word = "reversed"
    still_open = booked.total - paid
    if still_open.amount <= 0 and asked.balance.amount <= 0 and paid.amount > 0:
        word = "paid"
    if snapshot.disputed is not None and word != "reversed":
        word = "disputed"
    return PaymentStatus(
        key=_key(snapshot.base.ref),
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
    edited = invoices.tampered_with(snapshot.base)
    if edited is not None:
        yield edited
    if snapshot.disputed is not None:
        yield _disputed(snapshot, booked, snapshot.disputed)
    open_there = asked.balance.amount
    if status.status == "reversed":
        yield _reversed(snapshot, asked, booked, status)
    elif status.paid.amount and status.balance.amount > 0 and open_there > 0:
        yield _short(snapshot, booked, status)
    elif status.paid.amount and status.balance.amount <= 0 and open_there > 0:
        yield _outside(snapshot, asked.balance)


def _reversed(snapshot: PaymentSnapshot, asked: Invoice, booked: Invoice, status: PaymentStatus) -> Problem:
    """A chargeback, or a bank that returned the money: receivables collects it anew."""
    base, still_open = snapshot.base, status.balance
    return Problem(
        "PAY-REVERSED",
        "payment",
        "invoice",
        "paid",
        "",
        f"Money paid on {base.invoice.number} over {booked.total} was taken back: {base.erp.name} has {_paid(booked)}, "
        f"{base.billing_system.name} {_collected(snapshot, asked)}; {still_open} is open again.",
        {
            "paid": str(status.paid.amount),
            "open": str(still_open.amount),
            "held": str(still_open.amount),
        },
    )


def _disputed(snapshot: PaymentSnapshot, booked: Invoice, amount: Money) -> Problem:
    """The money is still here, but the client has objected to it."""
    base = snapshot.base
    words = f" ({snapshot.dispute_words})" if snapshot.dispute_words else ""
    return Problem(
        "INV-DISPUTED",
        "payment",
        "invoice",
        "disputed",
        "",
        f"{base.meta.customer or 'The client'} disputes {amount} of {base.invoice.number} over {booked.total} at "
        f"{base.billing_system.name}{words}.",
        {"disputed": str(amount.amount), "total": str(booked.total), "held": str(amount.amount)},
    )


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
