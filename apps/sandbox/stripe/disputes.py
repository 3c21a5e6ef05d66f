"""Disputes: a customer questions a charge with the bank. The bank takes the money at once and gives it back if it is won.

Public surface: Disputes (a part of the vendor class; needs ``system`` and ``_emit``).

Source: docs.stripe.com/api/disputes, /api/invoice-payment. A dispute names the payment intent that was charged, not the
invoice: which invoices that one paid is asked of ``/v1/invoice_payments``.
"""

import time

from ..core.systems import NoSuchRecord
from .invoices import new_id

CLOSED = ("won", "lost", "warning_closed", "prevented")
ANSWER_WITHIN = 7 * 86400


class Disputes:
    def _dispute(self, invoice: dict, body: dict) -> dict:
        """``amount`` (minor units; default all that the payment brought), ``reason``, ``status`` (an inquiry begins with
        ``warning_needs_response``)."""
        paid = self.system.find("invoice_payment", "invoice", invoice["id"])
        if not paid:
            raise ValueError(f"nothing was charged for the invoice {invoice['id']}")
        payment = paid[-1]
        amount = payment["amount_paid"] if body.get("amount") is None else int(body["amount"])
        if not 0 < amount <= payment["amount_paid"]:
            raise ValueError(f"amount must be within 1 and {payment['amount_paid']}")
        now = int(time.time())
        dispute = {
            "id": new_id("du"),
            "object": "dispute",
            "amount": amount,
            "balance_transactions": [],
            "charge": new_id("ch"),
            "created": now,
            "currency": invoice["currency"],
            "evidence": {},
            "evidence_details": {
                "due_by": now + ANSWER_WITHIN,
                "has_evidence": False,
                "past_due": False,
                "submission_count": 0,
            },
            "is_charge_refundable": False,
            "livemode": False,
            "metadata": {},
            "payment_intent": payment["payment"]["payment_intent"],
            "reason": body.get("reason") or "general",
            "status": body.get("status") or "needs_response",
        }
        self.system.put("dispute", dispute["id"], dispute)
        self._emit("charge.dispute.created", dispute)
        if not dispute["status"].startswith("warning"):
            self._emit("charge.dispute.funds_withdrawn", dispute)
        return dispute

    def _close_dispute(self, body: dict) -> dict:
        """The bank decides: ``status`` one of :data:`CLOSED`."""
        before, status = self.system.get("dispute", str(body.get("dispute"))), str(body.get("status"))
        if before is None:
            raise NoSuchRecord(f"no dispute {body.get('dispute')}")
        if status not in CLOSED:
            raise ValueError(f"status must be one of {', '.join(CLOSED)}")
        after = self.system.put("dispute", before["id"], {**before, "status": status})
        self._emit("charge.dispute.closed", after, before)
        if status == "won":
            self._emit("charge.dispute.funds_reinstated", after)
        return after
