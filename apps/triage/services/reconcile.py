"""Cases follow the plans: opened, updated, resolved and reopened from what the engine found.

Public surface: :func:`cases_reconcile`, :func:`transactions_finished`.

A fact tells *all* problems of one transaction as they stand; cases of its subject and flow whose problem is no longer
among them are resolved. A fact of ``phase`` "plan" knows only what planning can see: a clear plan proves nothing about a
write that a system refused before, so such cases stay until the transaction comes to its end.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any

import structlog
from django.db import transaction
from django.db.models import QuerySet
from django.utils.translation import gettext as _

from apps.core import clock, correlation
from apps.journal import services as journal
from apps.triage.catalogue import entry, known
from apps.triage.fingerprint import fingerprint, value_of
from apps.triage.models import CLOSED_STATES, OPEN_STATES, Case, CaseState, Group, How
from apps.triage.services import clocks, moves

#: A problem that comes back within this time is the same case again, not a new one.
REGRESSION = timedelta(days=30)

log = structlog.get_logger(__name__)
Fact = dict[str, Any]


def cases_reconcile(facts: list[Fact]) -> None:
    """Bring the cases of each fact's subject and flow in line with its problems. Safe to run twice with the same facts.

    A fact: ``{transaction_id, transaction_ref, subject_kind, subject_key, flow, legal_entity_id, engagement_key, label,
    customer, currency, amount (text or None: unknown), correlation_id, problems: [{code, step, object_type, field, value,
    reason, params}], phase ("plan": only planning has spoken; default: all is known)}``.
    """
    due: dict[int | None, Any] = {}
    for fact in facts:
        with transaction.atomic(), correlation.bind(fact.get("correlation_id")):
            _reconcile_one(fact, due)


def transactions_finished(facts: list[Fact]) -> None:
    """A transaction that a person gave up leaves its cases without a subject: they are superseded. One that was only observed,
    since a gate is not open, has cleared nothing: what somebody ran goes back to the desk.

    Nothing is concluded from other ends: what still stands in the way is told by the report before.
    """
    for fact in facts:
        if str(fact["state"]) == "cancelled":
            with transaction.atomic():
                for case in _open_cases(fact):
                    note = _("%(ref)s was cancelled.") % _ref(fact)
                    _resolve(case, how=How.SUPERSEDED, note=note)
        elif str(fact["state"]) == "observed":
            with transaction.atomic():
                under_way = [case for case in _open_cases(fact) if case.state == CaseState.IN_PROGRESS]
                moves.back_to_desk(
                    under_way, _("%(ref)s was only observed: a gate is not open.") % _ref(fact)
                )


def _reconcile_one(fact: Fact, due: dict[int | None, Any]) -> None:
    phase = "plan" if fact.get("phase") == "plan" else "apply"
    problems = {_fingerprint(fact, problem): problem for problem in fact["problems"]}
    # Always in the same order: two facts with the same problems must not lock groups crosswise.
    groups = {digest: _group(fact, problems[digest], digest) for digest in sorted(problems)}
    existing = {case.group.fingerprint: case for case in _open_cases(fact)}
    for digest, problem in problems.items():
        case = existing.get(digest)
        if case is None:
            _open(fact, problem, groups[digest], phase=phase, due=due)
        else:
            _refresh(case, fact, problem, phase=phase, due=due)
    for digest, case in existing.items():
        if digest not in problems and (phase != "plan" or case.phase == "plan"):
            _resolve(case, how=How.AUTO, note=_("%(ref)s no longer meets the problem.") % _ref(fact))


def _ref(fact: Fact) -> dict[str, str]:
    return {"ref": fact["transaction_ref"]}


def _open_cases(fact: Fact) -> QuerySet[Case]:
    return (
        Case.objects.select_for_update(of=("self",))
        .select_related("group")
        .filter(
            subject_kind=fact["subject_kind"],
            subject_key=fact["subject_key"],
            flow=fact["flow"],
            state__in=OPEN_STATES,
        )
        .order_by("id")
    )


def _fingerprint(fact: Fact, problem: Fact) -> str:
    return fingerprint(
        legal_entity_id=fact.get("legal_entity_id"),
        flow=fact["flow"],
        step=problem.get("step") or "",
        code=problem.get("code") or "",
        object_type=problem.get("object_type") or "",
        field=problem.get("field") or "",
        value=str(problem.get("value") or ""),
    )


def _group(fact: Fact, problem: Fact, digest: str) -> Group:
    group, created = Group.objects.get_or_create(
        fingerprint=digest,
        defaults={
            "legal_entity_id": fact.get("legal_entity_id"),
            "flow": fact["flow"],
            "step": (problem.get("step") or "")[:120],
            "code": (problem.get("code") or "")[:60],
            "object_type": (problem.get("object_type") or "")[:60],
            "field": (problem.get("field") or "")[:120],
            "value": value_of(problem.get("code") or "", str(problem.get("value") or ""))[:300],
            "reason": problem["reason"],
            "created_at": clock.now(),
        },
    )
    if not created and group.reason != problem["reason"]:
        Group.objects.filter(pk=group.pk).update(reason=problem["reason"])
    return group


def _facts_of(fact: Fact, problem: Fact) -> dict[str, Any]:
    """The fields that every sight of the problem renews."""
    params = dict(problem.get("params") or {})
    # A transaction may have several causes: what is held by this one, where the problem says it.
    amount = _amount(params["held"] if "held" in params else fact.get("amount"))
    exposure = entry(problem.get("code") or "").exposure
    return {
        "transaction_id": fact["transaction_id"],
        "transaction_ref": fact["transaction_ref"],
        "correlation_id": fact.get("correlation_id") or correlation.current(),
        "reason": problem["reason"],
        "params": params,
        "value": str(problem.get("value") or "")[:300],
        "label": (fact.get("label") or "")[:300],
        "customer_name": (fact.get("customer") or "")[:300],
        "engagement_key": fact.get("engagement_key") or "",
        "currency": (fact.get("currency") or "")[:3],
        "held_amount": amount if fact.get("currency") else None,
        "exposure": exposure.value if exposure else "",
        "exposure_amount": _exposed(params, amount) if exposure and fact.get("currency") else None,
        "seen_at": clock.now(),
    }


def _exposed(params: Fact, held: Decimal | None) -> Decimal | None:
    """What is exposed where the problem says it (``exposure``, or the ``open`` request for payment); else what it holds."""
    said = next((params[name] for name in ("exposure", "open") if name in params), None)
    return held if said is None else _amount(said)


def _amount(text: str | None) -> Decimal | None:
    """Unknown stays unknown; what is no number is unknown too, and said in the log."""
    if text in (None, "", "unknown"):
        return None
    try:
        amount = Decimal(str(text))
    except InvalidOperation:
        log.warning("case_amount_unreadable", amount=str(text)[:40])
        return None
    return amount if amount.is_finite() else None


def _open(fact: Fact, problem: Fact, group: Group, *, phase: str, due: dict[int | None, Any]) -> None:
    former = (
        Case.objects.select_for_update()
        .filter(
            group=group,
            subject_kind=fact["subject_kind"],
            subject_key=fact["subject_key"],
            state__in=CLOSED_STATES,
            resolved_at__gte=clock.now() - REGRESSION,
        )
        .order_by("-resolved_at")
        .first()
    )
    renewed = {**_facts_of(fact, problem), "phase": phase, "due_at": _due(fact, problem, due)}
    if former is not None:
        cleared = {"resolved_at": None, "how": "", "fixed_by": None, "mapping_id": None}
        cleared |= {"escalated_at": None, "reminded_at": None}
        note = _("The problem came back with %(ref)s.") % _ref(fact)
        reopened = former.reopened + 1
        if moves.move(former, to=CaseState.OPEN, by=None, note=note, reopened=reopened, **renewed, **cleared):
            moves.place_hold(former)
        return
    code = problem.get("code") or ""
    now = clock.now()
    if not known(code):
        log.warning("case_code_unknown", code=code[:60])
    case = Case.objects.create(
        legal_entity_id=fact.get("legal_entity_id"),
        ref=journal.next_ref("EX", year=False),
        group=group,
        subject_kind=fact["subject_kind"],
        subject_key=fact["subject_key"],
        flow=fact["flow"],
        step=(problem.get("step") or "")[:120],
        code=code[:60],
        severity=entry(code).severity,
        object_type=(problem.get("object_type") or "")[:60],
        field=(problem.get("field") or "")[:120],
        state=CaseState.OPEN,
        opened_at=now,
        created_at=now,
        **renewed,
    )
    moves.event(case, what="opened", by=None, new=CaseState.OPEN.value, note=case.reason)
    journal.record(
        verb="case.opened",
        object_type="case",
        object_ref=case.ref,
        legal_entity_id=case.legal_entity_id,
        engagement_key=case.engagement_key,
        new={"code": case.code, "reason": case.reason, "transaction": case.transaction_ref},
    )
    moves.place_hold(case)


def _due(fact: Fact, problem: Fact, known: dict[int | None, Any]) -> datetime | None:
    blocks = entry(problem.get("code") or "").blocks
    return clocks.due_of(fact.get("legal_entity_id"), blocks=blocks, known=known)


def _refresh(case: Case, fact: Fact, problem: Fact, *, phase: str, due: dict[int | None, Any]) -> None:
    """The same problem again: renew what it says; a fix under way that did not help goes back to its queue."""
    fields = _facts_of(fact, problem) | {"due_at": _due(fact, problem, due)}
    fields |= clocks.missed(case.due_at, fields["due_at"])
    had_hold = case.engagement_key
    # A run that failed before it knew its engagement says nothing about it.
    fields["engagement_key"] = fields["engagement_key"] or had_hold
    for name, value in fields.items():
        setattr(case, name, value)
    if phase == "plan":
        case.phase = phase
    case.save(update_fields=[*fields, "phase"])
    if case.engagement_key and not had_hold:
        moves.place_hold(case)
    if case.state == CaseState.IN_PROGRESS and case.fixed_by_id is not None:
        back = CaseState.ASSIGNED if case.assignee_id else CaseState.OPEN
        note = _("The fix did not clear it: %(reason)s") % {"reason": case.reason}
        moves.move(case, to=back, by=None, note=note, fixed_by=None)


def _resolve(case: Case, *, how: How, note: str) -> None:
    if how is How.AUTO and case.fixed_by_id is not None:
        how = How.MANUAL
    by = case.fixed_by if how is How.MANUAL else None
    if moves.move(case, to=CaseState.RESOLVED, by=by, note=note, resolved_at=clock.now(), how=how.value):
        moves.lift_hold(case, by=by)
