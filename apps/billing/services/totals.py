"""What an issuer posted beside what was approved here (pure, no queries).

Public surface: :func:`total_problem`.
"""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from typing import Any

from django.utils.translation import gettext as _

from apps.canonical.money import Money, minor_unit_exponent


def total_problem(
    *,
    ref: str,
    lines: Iterable[Money],
    treatment: str,
    rate_percent: Decimal,
    currency: str,
    total: Money,
    tax: Money | None,
) -> dict[str, Any] | None:
    """``INV-TOTAL`` when the issuer's net is not what was approved, ``TAX-DIFF`` when only its tax is not, else None; the
    shape is that of a plan's problem.

    The net may be off by one minor unit, the tax by one a line (issuers round each). A standard rate of 0 says nothing of
    the tax: the issuer finds it itself (sales tax by address).
    """
    amounts = [line.amount for line in lines]
    net = sum(amounts, Decimal(0))
    unit = Decimal(1).scaleb(-minor_unit_exponent(currency))
    known = bool(rate_percent) or treatment != "standard"
    wanted = sum((Money.of(amount * rate_percent / 100, currency).amount for amount in amounts), Decimal(0))
    theirs = tax.amount if tax is not None else (wanted if known else total.amount - net)
    net_off = abs(total.amount - theirs - net) > unit
    tax_off = known and abs(theirs - wanted) > unit * max(1, len(amounts))
    if not net_off and not tax_off:
        return None
    expected = Money.of(net + (wanted if known else theirs), currency)
    words = (
        _("The issuer's total of %(number)s is %(theirs)s; what was approved comes to %(ours)s with its tax.")
        if net_off
        else _(
            "The issuer's tax makes %(number)s %(theirs)s; with the tax that was approved it comes to %(ours)s."
        )
    )
    reason = words % {"number": ref, "theirs": total, "ours": expected}
    return {
        "code": "INV-TOTAL" if net_off else "TAX-DIFF",
        "step": "invoice",
        "object_type": "invoice",
        "field": "total" if net_off else "tax",
        "value": ref,
        "reason": reason,
        "params": {
            "issuer": str(total),
            "expected": str(expected),
            "issuer_tax": str(tax) if tax is not None else "",
            "approved_net": str(Money.of(net, currency)),
            "held": str(Money.of(net, currency).amount),
        },
    }
