"""What became of an invoice in the ERP after it was posted there (pure).

Public surface: :func:`tampered` (``INV-VOIDED``, ``INV-EDITED``), :func:`same_content`, :func:`is_void`.
"""

from __future__ import annotations

from decimal import Decimal

from apps.canonical.objects import Invoice
from apps.connectors.spi import Observed
from apps.sync.plans import Problem


def is_void(seen: Observed | None) -> bool:
    """Whether the ERP has taken back an invoice that it had numbered."""
    return seen is not None and bool(seen.facts.get("number")) and seen.facts.get("status") == "void"


def same_content(seen: Invoice, wanted: Invoice) -> bool:
    def lines(invoice: Invoice) -> list[tuple[str, Decimal]]:
        return sorted((line.description, line.amount.amount) for line in invoice.lines)

    return seen.net == wanted.net and lines(seen) == lines(wanted)


def tampered(*, ref: str, erp: str, seen: Observed | None, approved: Invoice) -> Problem | None:
    """The posted invoice was voided, or shows other lines than were approved over the same net. (Another net is
    ``INV-TOTAL``.)"""
    if seen is None or not seen.facts.get("number"):
        return None
    number = str(seen.facts["number"])
    shown: Invoice = seen.body  # type: ignore[assignment]
    if is_void(seen):
        reason = (
            f"{erp} has voided {number} ({ref}) over {approved.net}. Its work is not billed again by itself."
        )
        held = {"held": str(approved.net.amount), "number": number}
        return Problem("INV-VOIDED", "invoice", "invoice", "status", "", reason, held)
    if shown.net != approved.net or same_content(shown, approved):
        return None
    before = {(line.description, str(line.amount)) for line in approved.lines}
    now = {(line.description, str(line.amount)) for line in shown.lines}
    changed = "; ".join(f"“{text}” {amount}" for text, amount in sorted(now - before))
    reason = f"{erp} shows other lines on {number} ({ref}) than were approved, over the same net: {changed}."
    return Problem("INV-EDITED", "invoice", "invoice", "lines", "", reason, {"held": "0", "number": number})
