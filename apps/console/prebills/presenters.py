"""What a prebill looks like on its page.

Public surface: :func:`page_of_prebill`, :class:`PrebillPage`, :func:`groups_of`, :data:`STAGES`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from apps.billing import selectors as billing
from apps.canonical.money import Money
from apps.console.access import ConsoleRequest, permitted

#: The way of a prebill, as steps; a state names how far it is.
STAGES = (
    ("draft", gettext_lazy("Project manager")),
    ("pm_approved", gettext_lazy("Finance")),
    ("approved", gettext_lazy("Approved")),
    ("posted", gettext_lazy("Posted in the ERP")),
    ("issued", gettext_lazy("Issued")),
    ("paid", gettext_lazy("Paid")),
)
_AT = {"sent_back": "draft", "part_paid": "issued", "disputed": "issued", "credited": "paid"}


@dataclass(frozen=True)
class LineGroup:
    """Lines of one service with their sum."""

    service: str
    lines: list[Any]
    net: Decimal


@dataclass(frozen=True)
class PrebillPage:
    """``why_not`` says why the reader cannot approve ("" = can); ``step`` whose turn it is."""

    detail: billing.PrebillDetail
    groups: list[LineGroup]
    stages: list[tuple[str, str]]
    step: str
    why_not: str
    why_not_back: str
    why_not_submit: str
    #: None where only the ERP knows the rate.
    estimated_tax: Decimal | None
    expected_total: Decimal | None
    holds: list[Any]


def page_of_prebill(request: ConsoleRequest, ref: str) -> PrebillPage:
    """Everything the page shows; not found outside the scope."""
    detail = billing.prebill_detail(ref, user=request.user, scope=request.scope)
    row = detail.prebill
    verb = "prebill.approve_finance" if row.state == "pm_approved" else "prebill.approve_pm"
    place: dict[str, Any] = {"legal_entity_id": row.legal_entity_id, "engagement_key": row.engagement_key}
    blocked = _("It waits for nobody's approval.") if detail.waiting is None else ""
    refused = blocked or (
        "" if detail.may_decide else permitted(request, verb, **place).why or _already(request, detail)
    )
    held = ""
    if not refused and row.state == "pm_approved" and detail.holds:
        held = _("It cannot be released while something is held; see above.")
    tax = row.tax if row.tax is not None else _expected_tax(row)
    return PrebillPage(
        detail=detail,
        groups=groups_of(detail.lines),
        stages=stages_of(row.state),
        step=_("Finance") if row.state == "pm_approved" else _("Project manager"),
        why_not=refused or held,
        why_not_back=refused,
        why_not_submit=permitted(request, "prebill.send_back", **place).why,
        estimated_tax=tax,
        expected_total=None if tax is None else row.net + tax,
        holds=detail.holds,
    )


def _expected_tax(row: Any) -> Decimal | None:
    """By the rate of the routing settings; a standard rate that they do not name (the code is a mapping) is not known here."""
    if row.tax_treatment == "standard" and not row.tax_rate:
        return None
    return Money.of(row.net * row.tax_rate / 100, row.currency).amount


def _already(request: ConsoleRequest, detail: billing.PrebillDetail) -> str:
    if detail.waiting.requested_by_id == request.user.pk:
        return _("You prepared it, so another person must approve it.")
    return _("You signed an earlier step; a second person must take this one.")


def groups_of(lines: Iterable[Any]) -> list[LineGroup]:
    """Lines by service in their order, each with its sum."""
    groups: dict[str, LineGroup] = {}
    for line in lines:
        group = groups.get(line.service_code) or LineGroup(line.service_code, [], Decimal(0))
        groups[line.service_code] = LineGroup(group.service, [*group.lines, line], group.net + line.amount)
    return list(groups.values())


def stages_of(state: str) -> list[tuple[str, str]]:
    """``(css, label)`` of each stage: done, here, stuck or to come."""
    here = _AT.get(state, state)
    names = [name for name, _label in STAGES]
    at = names.index(here) if here in names else -1
    stages = []
    for number, (_name, label) in enumerate(STAGES):
        css = "done" if number < at or (number == at == len(STAGES) - 1) else ""
        if number == at and not css:
            css = "stuck" if state in ("sent_back", "disputed") else "here"
        stages.append((css, str(label)))
    return stages
