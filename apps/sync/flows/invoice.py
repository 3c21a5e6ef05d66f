"""Flow ``invoice.sync``: a prebill becomes a draft invoice in the ERP, is posted there once approved, and is then sent for
payment by the billing platform.

Public surface: :data:`FLOW`. Subject key: the prebill's reference. The ERP is the issuer of record: it gives the number and
the tax; the billing platform only asks for the money.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from apps.billing import selectors as billing
from apps.billing.services import total_problem
from apps.canonical.money import Money
from apps.canonical.money import total as money_total
from apps.canonical.objects import Invoice, TaxTreatment
from apps.commercial import selectors as commercial
from apps.connectors.spi import Observed
from apps.core import clock
from apps.core.errors import WrongState
from apps.governance import selectors as governance
from apps.sync import ledger
from apps.sync.flows import base
from apps.sync.flows.base import Context, Flow, Meta
from apps.sync.flows.issued import is_void, same_content, tampered
from apps.sync.plans import Draft, PlannedAction, Problem, blocked, local, push, unchanged

ISSUED_TYPE = "psasync.invoice.issued.v1"
PAID_TYPE = "psasync.invoice.paid.v1"
DRAFTING = frozenset({"draft", "pm_approved"})


@dataclass(frozen=True)
class InvoiceSnapshot:
    """``erp_invoice`` and ``request`` are what ERP and billing platform show now (None: nothing there yet)."""

    as_of: datetime
    meta: Meta
    ref: str
    state: str
    invoice: Invoice
    crm: Any
    deal_id: str
    deal_key: str
    erp: Any
    erp_settings: dict[str, Any]
    billing_system: Any
    erp_invoice: Observed | None
    request: Observed | None
    request_id: str
    line_ids: dict[str, str]
    #: The request for payment was sent before, by an earlier run.
    sent: bool
    #: ``(kind, value)`` of what is to be translated and has no partner, or one that no second person has confirmed.
    unmapped: tuple[tuple[str, str], ...] = ()
    unconfirmed: tuple[tuple[str, str], ...] = ()
    #: What the draft in the ERP was last written from ("" = not by us, or not known any more).
    draft_key: str = ""
    #: How the invoice is taxed, as it was approved.
    tax: TaxTreatment | None = None


def gather(context: Context) -> InvoiceSnapshot:
    prebill = billing.prebill(context.key)
    if prebill is None:
        raise WrongState(f"There is no prebill {context.key}.")
    invoice = billing.canonical_invoice(context.key)
    engagement = commercial.engagement(prebill.engagement_key)
    crm, deal_id = base.split_key(engagement.deal_key)
    erp_route = base.route(prebill.legal_entity_id, "erp")
    billing_system = base.route(prebill.legal_entity_id, "billing").system
    request_id = base.link_id("invoice", context.key, billing_system)
    erp_invoice = _read(context, erp_route.system, base.link_id("invoice", context.key, erp_route.system))
    words = _words(context, prebill.legal_entity_id, invoice)
    return InvoiceSnapshot(
        as_of=clock.now(),
        meta=Meta(
            label=f"Invoice for {engagement.name}",
            customer=prebill.customer_name,
            customer_key=prebill.customer_key,
            legal_entity_id=prebill.legal_entity_id,
            engagement_key=prebill.engagement_key,
            currency=invoice.currency,
            amount=invoice.net.amount,
        ),
        ref=context.key,
        state=prebill.state,
        invoice=invoice,
        crm=crm,
        deal_id=deal_id,
        deal_key=engagement.deal_key,
        erp=erp_route.system,
        erp_settings=_erp_settings(erp_route, invoice, words),
        unmapped=tuple(value for value, found in words.items() if found is None),
        unconfirmed=tuple(
            value for value, found in words.items() if found is not None and not found.confirmed
        ),
        billing_system=billing_system,
        sent=ledger.was_settled(kind="invoice", key=context.key, name="billing.invoice.send"),
        draft_key=ledger.last_key(kind="invoice", key=context.key, name="erp.invoice"),
        erp_invoice=erp_invoice,
        request=_read(context, billing_system, request_id),
        request_id=request_id,
        line_ids={
            key: base.link_id("invoice_line", f"{context.key}-{key}", billing_system)
            for key, *_ in _payable_lines(invoice, erp_invoice)
        },
        tax=billing.tax_treatment(context.key),
    )


def _read(context: Context, system: Any, external_id: str) -> Observed | None:
    if not external_id:
        return None
    return base.read_one(context, system=system, object_type="invoice", external_id=external_id)


def _words(
    context: Context, entity_id: int, invoice: Invoice
) -> dict[tuple[str, str], governance.Translation | None]:
    """What the ERP calls the invoice's currency and payment terms."""
    values = (("currency", invoice.currency), ("payment_terms", invoice.payment_terms))
    return {
        (kind, source): governance.translate(
            kind=kind, legal_entity_id=entity_id, source=source, overlay=context.overlay
        )
        for kind, source in values
        if source
    }


def _erp_settings(
    route: Any, invoice: Invoice, words: dict[tuple[str, str], governance.Translation | None]
) -> dict[str, Any]:
    currency = words.get(("currency", invoice.currency))
    terms = words.get(("payment_terms", invoice.payment_terms))
    treatment = billing.tax_treatment(invoice.key)
    return dict(route.settings) | {
        "currency_id": currency.target if currency else "",
        "terms_id": terms.target if terms else "",
        "tax_code_id": treatment.tax_code if treatment else "",
    }


def posted(seen: Observed) -> bool:
    """Whether the ERP has posted this invoice: only then it has a number."""
    return bool(seen.facts.get("number"))


def plan(snapshot: InvoiceSnapshot) -> Draft:
    if snapshot.state == "void":
        return _take_back(snapshot)
    if snapshot.state in DRAFTING and not snapshot.invoice.lines:
        return Draft((), summary=f"{snapshot.ref} has no lines at the moment; nothing to show.")
    if snapshot.state in DRAFTING:
        return Draft((_erp_draft(snapshot),), summary=f"Draft {snapshot.ref} in {snapshot.erp.name}.")
    if snapshot.state == "approved":
        problems = _translation_problems(snapshot)
        if problems:
            return Draft((blocked("erp.invoice.post", "It stays a draft until this is settled."),), problems)
        return Draft(tuple(_post(snapshot)), summary=f"Post {snapshot.ref} in {snapshot.erp.name}.")
    if snapshot.state == "posted":
        return _ask(snapshot)
    return Draft((), summary=f"{snapshot.ref} is {snapshot.state.replace('_', ' ')}; nothing to send.")


def _translation_problems(snapshot: InvoiceSnapshot) -> tuple[Problem, ...]:
    """Terms that the ERP does not know would be posted as others; what one person alone has mapped is no more than a draft.
    (A currency without a mapping is found in the ERP by its ISO code.)"""
    found = []
    for kind, source in snapshot.unmapped:
        if kind == "payment_terms":
            reason = (
                f"{snapshot.erp.name} has no payment terms for “{source}”, so {snapshot.ref} is not posted."
            )
            found.append(Problem("CUS-TERMS", "invoice", "invoice", kind, source, reason))
    for kind, source in snapshot.unconfirmed:
        word = kind.replace("_", " ")
        reason = (
            f"{snapshot.ref} uses the mapping of {word} “{source}”, which no second person has confirmed yet."
        )
        found.append(Problem("MAP-UNCONFIRMED", "invoice", "invoice", kind, source, reason))
    return tuple(found)


def _take_back(snapshot: InvoiceSnapshot) -> Draft:
    """The work of a void prebill is billed elsewhere or not at all: its draft must not be approved in the ERP."""
    seen = snapshot.erp_invoice
    if seen is None or seen.facts.get("status") != "draft":
        return Draft((), summary=f"{snapshot.ref} is void and {snapshot.erp.name} holds no open draft of it.")
    rejected = push(
        "erp.invoice.void",
        f"{snapshot.erp.name} rejects the draft: its last line has gone.",
        system=snapshot.erp,
        object_type="invoice",
        operation="void",
        key=snapshot.ref,
        refs={"invoice": ("invoice", snapshot.ref)},
        settings=snapshot.erp_settings,
    )
    return Draft((rejected,), summary=f"Take {snapshot.ref} back in {snapshot.erp.name}.")


def _erp_draft(snapshot: InvoiceSnapshot) -> PlannedAction:
    seen = snapshot.erp_invoice
    wanted = _erp_draft_push(snapshot)
    # Tax code, dates, terms and PO are no part of what the lines show, so what was sent last must be the same too.
    as_sent = snapshot.draft_key in ("", wanted.idempotency_key)
    if seen is not None and as_sent and same_content(seen.body, snapshot.invoice):  # type: ignore[arg-type]
        why = f"Draft {seen.external_id} shows the same lines."
        return unchanged(
            "erp.invoice", why, system=snapshot.erp, object_type="invoice", external_id=seen.external_id
        )
    return wanted


def _erp_draft_push(snapshot: InvoiceSnapshot) -> PlannedAction:
    return push(
        "erp.invoice",
        f"Draft invoice over {snapshot.invoice.net} in {snapshot.erp.name}, pending approval.",
        system=snapshot.erp,
        object_type="invoice",
        operation="create",
        key=snapshot.ref,
        body=snapshot.invoice.model_copy(update={"status": "draft"}),
        refs={
            "customer": ("customer", snapshot.invoice.customer_key),
            "engagement": ("engagement", snapshot.invoice.engagement_key),
        },
        settings=snapshot.erp_settings,
    )


def _post(snapshot: InvoiceSnapshot) -> list[PlannedAction]:
    seen = snapshot.erp_invoice
    steps = [_erp_draft(snapshot)] if seen is None or not posted(seen) else []
    if seen is not None and posted(seen):
        why = f"{snapshot.erp.name} has posted it as {seen.facts.get('number')}."
        steps.append(
            unchanged(
                "erp.invoice.post",
                why,
                system=snapshot.erp,
                object_type="invoice",
                external_id=seen.external_id,
            )
        )
    else:
        steps.append(
            push(
                "erp.invoice.post",
                f"{snapshot.erp.name} posts the invoice and gives it its number.",
                system=snapshot.erp,
                object_type="invoice",
                operation="post",
                key=snapshot.ref,
                refs={"invoice": ("invoice", snapshot.ref)},
                settings=snapshot.erp_settings,
                read_back=True,
            )
        )
    steps.append(taken_over(snapshot))
    return steps


def taken_over(snapshot: InvoiceSnapshot) -> PlannedAction:
    """What the ERP posted becomes ours: it is the issuer of record."""
    return local(
        "posted",
        "Takes over number, tax and total from the ERP.",
        verb="invoice_posted",
        ref=snapshot.ref,
        system_id=snapshot.erp.id,
    )


def changed_since(snapshot: InvoiceSnapshot) -> bool:
    """Whether the ERP shows other totals than we hold of the posted invoice."""
    seen = snapshot.erp_invoice
    if seen is None or not posted(seen) or is_void(seen):
        return False
    body: Invoice = seen.body  # type: ignore[assignment]
    return (body.total or body.net, body.tax) != (snapshot.invoice.total, snapshot.invoice.tax)


def _ask(snapshot: InvoiceSnapshot) -> Draft:
    """Nothing is asked for that was not approved: a total of the ERP that is off by more than its rounding stops here."""
    taken = [taken_over(snapshot)] if changed_since(snapshot) else []
    problem = tampered_with(snapshot) or _not_as_approved(snapshot) or _not_as_posted(snapshot)
    if problem is not None:
        stopped = blocked("billing.invoice", problem.reason)
        return Draft((*taken, stopped), (problem,), summary=f"{snapshot.ref} is not asked for.")
    summary = f"Ask for payment of {snapshot.invoice.number}."
    return Draft((*taken, *_request(snapshot)), summary=summary)


def tampered_with(snapshot: InvoiceSnapshot) -> Problem | None:
    """``INV-VOIDED`` or ``INV-EDITED``: what the ERP did to it after posting."""
    return tampered(
        ref=snapshot.ref, erp=snapshot.erp.name, seen=snapshot.erp_invoice, approved=snapshot.invoice
    )


def _not_as_approved(snapshot: InvoiceSnapshot) -> Problem | None:
    booked, tax = _booked(snapshot.invoice, snapshot.erp_invoice), snapshot.tax
    if booked.total is None or tax is None:
        return None
    found = total_problem(
        ref=snapshot.ref,
        lines=[line.amount for line in snapshot.invoice.lines],
        treatment=tax.treatment,
        rate_percent=tax.rate_percent,
        currency=snapshot.invoice.currency,
        total=booked.total,
        tax=booked.tax,
    )
    return None if found is None else Problem(**found)


def _not_as_posted(snapshot: InvoiceSnapshot) -> Problem | None:
    """A request that the billing platform has fixed already, over another amount than the ERP posted."""
    request = snapshot.request
    if request is None or request.facts.get("status") == "draft":
        return None
    asked: Invoice = request.body  # type: ignore[assignment]
    return totals_differ(snapshot, asked, _booked(snapshot.invoice, snapshot.erp_invoice))


def totals_differ(snapshot: InvoiceSnapshot, asked: Invoice, booked: Invoice) -> Problem | None:
    """``INV-TOTAL`` when the request for payment is over another amount than the ERP's invoice."""
    theirs, ours = booked.total, asked.total
    if theirs is None or ours is None or theirs == ours:
        return None
    number = booked.number or snapshot.invoice.number or snapshot.ref
    return Problem(
        "INV-TOTAL",
        "invoice",  # as billing tells it: one cause, one case
        "invoice",
        "total",
        snapshot.ref,
        f"{snapshot.erp.name} has {number} over {theirs}; {snapshot.billing_system.name} asks for {ours}.",
        {"issuer": str(theirs), "expected": str(ours), "held": str(abs((theirs - ours).amount))},
    )


def _booked(invoice: Invoice, seen: Observed | None) -> Invoice:
    """The invoice as the ERP shows it now, else as we last took it over."""
    if seen is None or not posted(seen):
        return invoice
    return seen.body  # type: ignore[return-value]


def _request(snapshot: InvoiceSnapshot) -> list[PlannedAction]:
    system = snapshot.billing_system
    status = str(snapshot.request.facts.get("status", "")) if snapshot.request else ""
    steps = [_request_header(snapshot)]
    if status in ("", "draft"):
        payable = _payable_lines(snapshot.invoice, snapshot.erp_invoice)
        steps += [_request_line(snapshot, line) for line in payable]
        steps.append(_request_step(snapshot, "finalize", f"{system.name} fixes the request."))
    if status in ("", "draft", "open") and not snapshot.sent:
        steps.append(
            _request_step(snapshot, "send", f"{system.name} sends it to the billing contact of the customer.")
        )
    steps.append(status_push(snapshot, "Invoiced", invoice_status="issued"))
    steps.append(
        local(
            "announce",
            "Announces the invoice to subscribers.",
            verb="announce_invoice",
            ref=snapshot.ref,
            event_type=ISSUED_TYPE,
        )
    )
    steps.append(
        local("issued", "The invoice is out.", verb="invoice_issued", ref=snapshot.ref, system_id=system.id)
    )
    return steps


def _payable_lines(invoice: Invoice, seen: Observed | None) -> list[tuple[str, str, Money]]:
    """Key, text and amount of what is asked for, in sum the ERP's total: the lines, its tax and its rounding as lines of
    their own."""
    booked = _booked(invoice, seen)
    lines = [(line.key, line.description, line.amount) for line in invoice.lines]
    if booked.tax is not None and booked.tax.amount:
        lines.append(("tax", "Tax", booked.tax))
    if booked.total is not None:
        rest = booked.total - money_total((amount for *_, amount in lines), invoice.currency)
        if rest.amount:
            lines.append(("rounding", "Rounding", rest))
    return lines


def _request_header(snapshot: InvoiceSnapshot) -> PlannedAction:
    if snapshot.request_id:
        return unchanged(
            "billing.invoice",
            f"Payment request {snapshot.request_id} exists.",
            system=snapshot.billing_system,
            object_type="invoice",
            external_id=snapshot.request_id,
        )
    return push(
        "billing.invoice",
        f"{snapshot.billing_system.name} gets a payment request for {snapshot.invoice.number}.",
        system=snapshot.billing_system,
        object_type="invoice",
        operation="create",
        key=snapshot.ref,
        body=snapshot.invoice,
        refs={"customer": ("customer", snapshot.invoice.customer_key)},
    )


def _request_line(snapshot: InvoiceSnapshot, line: tuple[str, str, Money]) -> PlannedAction:
    key, description, amount = line
    name = f"billing.invoice_line.{key}"
    known = snapshot.line_ids.get(key, "")
    if known:
        return unchanged(name, f"Line {known} exists.", system=snapshot.billing_system, external_id=known)
    return push(
        name,
        f"{description}: {amount}",
        system=snapshot.billing_system,
        object_type="invoice_line",
        operation="create",
        key=f"{snapshot.ref}-{key}",
        refs={
            "customer": ("customer", snapshot.invoice.customer_key),
            "invoice": ("invoice", snapshot.ref),
        },
        values={"description": description, "amount": str(amount.amount), "currency": amount.currency},
    )


def _request_step(snapshot: InvoiceSnapshot, verb: str, why: str) -> PlannedAction:
    return push(
        f"billing.invoice.{verb}",
        why,
        system=snapshot.billing_system,
        object_type="invoice",
        operation=verb,
        key=snapshot.ref,
        refs={"invoice": ("invoice", snapshot.ref)},
        read_back=verb == "send",
    )


def status_push(snapshot: InvoiceSnapshot, status: str, **values: Any) -> PlannedAction:
    """Status write-back to the CRM; upsert on our own status object, never on the deal itself."""
    return push(
        "crm.status",
        f"The CRM shows “{status}”.",
        system=snapshot.crm,
        object_type="deal_status",
        operation="create",
        key=snapshot.deal_id,
        link_key=snapshot.deal_key,
        refs={"deal": snapshot.deal_id},
        values={
            "status": status,
            "message": f"Invoice {snapshot.invoice.number} ({snapshot.ref}).",
            **values,
        },
    )


FLOW = Flow("invoice.sync", "invoice", "Send an invoice", gather, plan)
