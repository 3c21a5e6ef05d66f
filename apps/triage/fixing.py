"""Reads about a fix in place: what its preview says so far, and what became of its run.

Inner module of the room; screens use :mod:`apps.triage.selectors`. Every read takes a fixed number of queries, however many
cases the group has.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from django.db.models import BooleanField, Count, Exists, ExpressionWrapper, OuterRef, Q, QuerySet, Sum
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from apps.canonical.money import Money
from apps.core import clock
from apps.core.scope import Scope
from apps.organization import selectors as organization
from apps.triage.models import OPEN_STATES, UNDER_WAY, Case, CaseState, FixPreview

OUTCOMES = ("clears", "changes", "stays", "unreachable")
#: So many rows of a preview are listed one by one; of more, those that would not clear come first.
LISTED = 100
#: So many deals that stopped at something else are named in the progress of a run.
TURNED = 20


# ---- Before it runs --------------------------------------------------------------------------------------------------
def fixable(case: Case, by: Any) -> QuerySet[Case]:
    """The cases of the group that a fix by this person may touch now: open, in scope, no other fix under way."""
    scope = organization.scope_of(by, "transaction.replay")
    states = [state for state in OPEN_STATES if state not in UNDER_WAY]
    return Case.objects.within(scope).filter(group_id=case.group_id, state__in=states).order_by("id")


def came_later(preview: FixPreview, case: Case, by: Any) -> int:
    """How many cases of the group joined it after the preview was frozen; they are no part of its run."""
    return fixable(case, by).exclude(pk__in=preview.rows.values("case_id")).count()


def told(preview: FixPreview, case: Case, by: Any) -> dict[str, Any]:
    """The answer of ``services.fix_preview``."""
    lines = list(
        preview.rows.order_by()
        .values("outcome", "currency")
        .annotate(
            number=Count("id"), held=Sum("held_amount"), unknown=Count("id", filter=Q(held_amount=None))
        )
    )
    numbers = {
        outcome: _sum(line["number"] for line in lines if line["outcome"] == outcome) for outcome in OUTCOMES
    }
    total, money = _sum(line["number"] for line in lines), _money(lines)
    answer = {
        "token": str(preview.key),
        "complete": preview.ready_at is not None,
        "total": total,
        "planned": _sum(numbers.values()),
        "counts": numbers,
        "money": money,
    }
    if not answer["complete"]:
        return {
            **answer,
            "results": [],
            "came_later": 0,
            "summary": "",
            "exposure": None,
            "exposure_shown": False,
        }
    return {
        **answer,
        "results": _listed(preview, total),
        "came_later": came_later(preview, case, by),
        "summary": _sentence(numbers, money),
        "exposure": group_exposure(case),
        "exposure_shown": organization.scope_of(by, "exception.view").allows(
            legal_entity_id=case.legal_entity_id
        ),
    }


def fix_under_way(case: Case, by: Any) -> tuple[str, dict[str, Any]] | None:
    """The target and the answer of a preview of this group that the person left: unfinished, or long enough to have
    taken several steps. None when there is none, or it has been run or is too old."""
    kept = FixPreview.objects.filter(
        Q(ready_at=None) | Q(steps__gt=1),
        by=by,
        group_id=case.group_id,
        used_at=None,
        expires_at__gt=clock.now(),
    )
    preview = kept.order_by("-id").first()
    return (preview.target, told(preview, case, by)) if preview is not None else None


def group_exposure(case: Case) -> Money | None:
    """Net billing held by the whole group in its entity's currency, for the limit of the mapping: the figure itself is shown
    only to who sees all of the group. None as soon as one amount or rate is unknown."""
    entity = case.legal_entity
    currency = entity.currency if entity else case.currency
    rows = Case.objects.filter(group_id=case.group_id, state__in=OPEN_STATES).order_by()
    exposure = Decimal(0)
    sums = rows.values("currency").annotate(
        held=Sum("held_amount"), unknown=Count("id", filter=Q(held_amount=None))
    )
    for held_in, amount, unknown in sums.values_list("currency", "held", "unknown"):
        converted = (
            organization.convert(Money.of(amount, held_in), currency, clock.today()) if not unknown else None
        )
        if converted is None:
            return None
        exposure += converted[0].amount
    return Money.of(exposure, currency) if currency else None


def _listed(preview: FixPreview, total: int) -> list[dict[str, Any]]:
    rows = preview.rows.select_related("case").order_by("transaction_id")
    if total > LISTED:
        clears = ExpressionWrapper(Q(outcome="clears"), output_field=BooleanField())
        rows = rows.alias(clears=clears).order_by("clears", "transaction_id")[:LISTED]
    return [
        {
            "transaction_id": row.transaction_id,
            "ref": row.case.transaction_ref,
            "case_ref": row.case.ref,
            "label": row.case.label,
            "outcome": row.outcome,
            "reason": row.reason,
            "digest": row.digest,
        }
        for row in rows
    ]


def _money(lines: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Per currency what is held now and what of it the fix releases, from the amounts that the cases showed."""
    found: dict[str, dict[str, Any]] = {}
    for line in lines:
        blank = {"currency": line["currency"], "released": Decimal(0), "held": Decimal(0), "unknown": 0}
        money = found.setdefault(line["currency"], blank)
        held = line["held"] if line["held"] is not None else Decimal(0)
        money["unknown"] += line["unknown"]
        money["held"] += held
        money["released"] += held if line["outcome"] == "clears" else 0
    return [found[currency] for currency in sorted(found)]


def _sentence(counts: Mapping[str, int], money: Sequence[Mapping[str, Any]]) -> str:
    """``Clears 5, changes the error on 1, leaves 0; EUR 72,300.00 of 84,600.00 released.``"""
    text = _("Clears %(clears)s, changes the error on %(changes)s, leaves %(stays)s") % {
        "clears": counts["clears"],
        "changes": counts["changes"],
        "stays": counts["stays"],
    }
    if counts["unreachable"]:
        text += ", " + _("%(count)s could not be checked now") % {"count": counts["unreachable"]}
    parts = []
    for line in money:
        if line["currency"]:
            held = f"{Money.of(line['held'], line['currency'])}".partition(" ")[2]
            parts.append(
                _("%(released)s of %(held)s released")
                % {"released": Money.of(line["released"], line["currency"]), "held": held}
            )
    unknown = _sum(line["unknown"] for line in money)
    if unknown:
        parts.append(
            ngettext("%(n)s amount is unknown", "%(n)s amounts are unknown", unknown) % {"n": unknown}
        )
    return "; ".join([text, *parts]) + "."


def _sum(numbers: Any) -> int:
    return sum(numbers, 0)


# ---- After it ran ----------------------------------------------------------------------------------------------------
@dataclass(frozen=True)
class FixProgress:
    """The cases of one run. ``moving`` run now, ``waiting`` wait for a second person; ``cleared`` is what no other problem
    stops either, with the money ``released``; ``turned`` names the first deals that stopped at something else; ``beside``
    counts the group's open cases that are no part of the run."""

    total: int
    moving: int
    waiting: int
    cleared: int
    released: Sequence[tuple[Decimal, str]]
    turned: Sequence[Case]
    beside: int


def fix_progress(scope: Scope, case: Case) -> FixProgress | None:
    """How far the cases of this case's fix that the scope sees have come, in two queries; None when none has its mapping any
    more.

    A deal that now stops at something else is not cleared, although this cause of it is gone: its money stays held.
    """
    elsewhere = Case.objects.filter(state__in=OPEN_STATES).exclude(group_id=case.group_id)
    subject = {"subject_kind": OuterRef("subject_kind"), "subject_key": OuterRef("subject_key")}
    mine = ExpressionWrapper(Q(mapping_id=case.mapping_id), output_field=BooleanField())
    lines = list(
        Case.objects.within(scope)
        .filter(Q(mapping_id=case.mapping_id) | Q(group_id=case.group_id, state__in=OPEN_STATES))
        .annotate(mine=mine, stopped=Exists(elsewhere.filter(**subject)))
        .order_by()
        .values("mine", "state", "stopped", "currency")
        .annotate(number=Count("id"), held=Sum("held_amount"))
    )
    run = [line for line in lines if line["mine"]]
    if not run:
        return None
    cleared = [line for line in run if line["state"] == CaseState.RESOLVED and not line["stopped"]]
    released: dict[str, Decimal] = {}
    for line in cleared:
        if line["currency"] and line["held"] is not None:
            released[line["currency"]] = released.get(line["currency"], Decimal(0)) + line["held"]
    ran = Case.objects.within(scope).filter(mapping_id=case.mapping_id)
    turned = elsewhere.within(scope).filter(Exists(ran.filter(**subject)))
    return FixProgress(
        total=_sum(line["number"] for line in run),
        moving=_sum(line["number"] for line in run if line["state"] == CaseState.IN_PROGRESS),
        waiting=_sum(line["number"] for line in run if line["state"] == CaseState.AWAITING_APPROVAL),
        cleared=_sum(line["number"] for line in cleared),
        released=[(released[currency], currency) for currency in sorted(released)],
        turned=list(turned.order_by("id")[:TURNED]),
        beside=_sum(line["number"] for line in lines if not line["mine"]),
    )
