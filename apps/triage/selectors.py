"""Reads of the triage room for screens and other rooms. Every list takes the reader's scope and a fixed number of queries.

Public surface: :func:`cases`, :func:`listed`, :func:`state_words`, :data:`OPEN_STATES`, :data:`UNDER_WAY`, :func:`open_cases`,
:func:`open_count`, :func:`facets`, :func:`snoozed_facets`, :func:`less`, :func:`snoozed`,
:func:`at_hand`, :func:`seen_to_run`, :func:`case_detail`, :func:`cases_of_engagement`, :func:`cases_of_transaction`,
:func:`cleared_by_mappings` ·
:func:`group_list`, :func:`groups`, :func:`group_rows`, :func:`group`, :func:`group_history`, :func:`group_ids`,
:func:`transactions_of`,
:func:`members`, :func:`mergeable`, :func:`with_status`, :func:`put_aside` ·
:func:`billing_held`, :func:`billing_held_by_entity`, :func:`held_of`, :func:`next_due`, :func:`reporting_currency`,
:func:`reporting_rates`, :func:`in_reporting`, :func:`in_reporting_currency`, :func:`exposures`, :func:`open_exposures` ·
:func:`mapping_kind_of`, :func:`mapping_candidates`, :func:`mapping_in_force`, :func:`fix_under_way`, :func:`fix_progress` ·
:func:`customer_candidates`, :func:`may_be_new`, :func:`editable_field`, :func:`field_label`, :func:`edits_of` ·
:func:`blocked_behind`, :func:`waits_behind` ·
:data:`AGES`, :func:`age_bounds`, :func:`age_of`, :func:`ages`, :func:`of_age` ·
the row types :class:`GroupRow`, :class:`CaseDetail`, :class:`Held`, :class:`Candidate`, :class:`FixProgress`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.db.models import Count, Exists, F, OuterRef, Q, QuerySet
from django.utils.translation import gettext as _

from apps.core.errors import NotFound
from apps.core.scope import Scope
from apps.governance import selectors as governance
from apps.organization import selectors as organization
from apps.records import selectors as records
from apps.sync import selectors as sync
from apps.sync.decisions import EDITABLE, Edit
from apps.sync.flows.matching import EXACT
from apps.triage.ages import AGES as AGES
from apps.triage.ages import age_bounds as age_bounds
from apps.triage.ages import age_of as age_of
from apps.triage.ages import ages as ages
from apps.triage.ages import of_age as of_age
from apps.triage.blocking import Blocked as Blocked
from apps.triage.blocking import BlockedLine as BlockedLine
from apps.triage.blocking import blocked_behind as blocked_behind
from apps.triage.blocking import waits_behind as waits_behind
from apps.triage.catalogue import Entry, entry
from apps.triage.exposure import Exposed as Exposed
from apps.triage.exposure import exposures as exposures
from apps.triage.exposure import open_exposures as open_exposures
from apps.triage.facets import Facets as Facets
from apps.triage.facets import facets as facets
from apps.triage.facets import facets_of as facets_of
from apps.triage.families import reasons_seen, sees_all
from apps.triage.figures import GroupList as GroupList
from apps.triage.figures import GroupRow as GroupRow
from apps.triage.figures import Held as Held
from apps.triage.figures import billing_held as billing_held
from apps.triage.figures import billing_held_by_entity as billing_held_by_entity
from apps.triage.figures import group_list as group_list
from apps.triage.figures import group_rows as group_rows
from apps.triage.figures import groups as groups
from apps.triage.figures import held_of as held_of
from apps.triage.figures import in_reporting as in_reporting
from apps.triage.figures import in_reporting_currency as in_reporting_currency
from apps.triage.figures import next_due as next_due
from apps.triage.figures import put_aside as put_aside
from apps.triage.figures import reporting_currency as reporting_currency
from apps.triage.figures import reporting_rates as reporting_rates
from apps.triage.figures import with_status as with_status
from apps.triage.fixing import FixProgress as FixProgress
from apps.triage.fixing import fix_progress as fix_progress
from apps.triage.fixing import fix_under_way as fix_under_way
from apps.triage.models import OPEN_STATES as OPEN_STATES
from apps.triage.models import UNDER_WAY as UNDER_WAY
from apps.triage.models import (
    Case,
    CaseEvent,
    CaseState,
    Comment,
    Group,
    GroupEvent,
    How,
)
from apps.triage.ranking import Candidate, ranked
from apps.triage.snoozing import at_hand as at_hand
from apps.triage.snoozing import less as less
from apps.triage.snoozing import seen_to_run as seen_to_run
from apps.triage.snoozing import snoozed as snoozed
from apps.triage.snoozing import snoozed_facets as snoozed_facets
from apps.triage.states import HIDDEN


@dataclass(frozen=True)
class CaseDetail:
    """A case with everything its page shows of this room."""

    case: Case
    entry: Entry
    events: Sequence[CaseEvent]
    comments: Sequence[Comment]
    siblings: int


# ---- Cases ----------------------------------------------------------------------------------------------------------
def cases(scope: Scope) -> QuerySet[Case]:
    """All cases that the scope may see, nearest deadline first, ready to be listed without further queries."""
    # Groups are many: they are fetched for the page's cases and not joined.
    rows = Case.objects.within(scope).select_related("legal_entity", "assignee").prefetch_related("group")
    return rows.order_by(F("due_at").asc(nulls_last=True), "id")


#: What a row of the list shows, and the key of its page.
_LISTED = (
    "id", "due_at", "ref", "label", "subject_key", "reason", "customer_name", "state", "legal_entity__code", "currency",
    "held_amount", "resolved_at", "queue", "escalated_at", "assignee_id", "stance", "until",
    "assignee__first_name", "assignee__last_name", "assignee__email", "assignee__username",
)  # fmt: skip


#: What a row shows besides when its reader wants it.
EXTRA_COLUMNS = ("code", "customer_name", "opened_at", "engagement_key", "transaction_ref")


def listed(rows: QuerySet[Case], *, extra: Collection[str] = ()) -> QuerySet[Any]:
    """The same cases as named tuples of what a list shows, with some of :data:`EXTRA_COLUMNS`: no model is made of a row that
    is only read."""
    more = [name for name in EXTRA_COLUMNS if name in extra and name not in _LISTED]
    return rows.prefetch_related(None).values_list(*_LISTED, *more, named=True)


def state_words(state: str) -> str:
    """A state as people say it."""
    return str(CaseState(state).label)


def open_cases(scope: Scope) -> QuerySet[Case]:
    return cases(scope).filter(state__in=OPEN_STATES)


def open_count(scope: Scope) -> int:
    return facets(scope, states=OPEN_STATES).total


def case_detail(scope: Scope, ref: str) -> CaseDetail:
    """One case by its reference. Raises :class:`NotFound`, also when it is out of scope."""
    found = cases(scope).select_related("fixed_by").filter(ref=ref).first()
    if found is None:
        raise NotFound(_("There is no such case, or you may not see it."))
    siblings = open_cases(scope).filter(group_id=found.group_id).exclude(pk=found.pk).order_by().count()
    return CaseDetail(
        case=found,
        entry=entry(found.code),
        events=list(found.events.select_related("by")),
        comments=list(found.comments.select_related("by")),
        siblings=siblings,
    )


def cases_of_engagement(scope: Scope, engagement_key: str) -> QuerySet[Case]:
    """Open and closed cases of an engagement, newest first."""
    return cases(scope).filter(engagement_key=engagement_key).order_by("-opened_at", "-id")


def cases_of_transaction(scope: Scope, transaction_id: int) -> QuerySet[Case]:
    """Open and closed cases of a transaction, newest first."""
    return cases(scope).filter(transaction_id=transaction_id).order_by("-opened_at", "-id")


def cleared_by_mappings(mapping_ids: Iterable[int]) -> dict[int, int]:
    """How many cases each mapping has cleared, for the review list; mappings without any are absent."""
    rows = Case.objects.filter(mapping_id__in=list(mapping_ids), how=How.MANUAL)
    return dict(rows.values_list("mapping_id").annotate(number=Count("id")).order_by())


# ---- Groups ---------------------------------------------------------------------------------------------------------
def group(scope: Scope, group_id: int) -> Group:
    """One group of which the scope sees at least one case, or the one that stands for it; :class:`NotFound` otherwise."""
    found = Group.objects.select_related("legal_entity", "moved_by", "family").filter(pk=group_id).first()
    if found is None or not Case.objects.within(scope).filter(group_id__in=group_ids(group_id)).exists():
        raise NotFound(_("There is no such group of cases, or you may not see it."))
    if found.merged_into is not None:
        return group(scope, found.merged_into.pk)
    return _worded(scope, [found])[0]


def _worded(scope: Scope, found: Sequence[Group]) -> list[Group]:
    """Groups with the sentence that this reader may see, in memory only."""
    said = reasons_seen(scope, found)
    for one in found:
        one.reason = said[one.pk]
    return list(found)


def group_ids(group_id: int) -> list[int]:
    """A group and what was merged into it. One query."""
    found = Group.objects.filter(Q(pk=group_id) | Q(family_id=group_id, family__isnull=False))
    return sorted(found.values_list("pk", flat=True))


def members(scope: Scope, root: Group) -> list[tuple[Group, int]]:
    """What was merged into a group, each with the number of its open cases that the scope sees."""
    if root.family_id != root.pk:
        return []
    mine = Count("cases", filter=Q(cases__in=open_cases(scope).order_by().values("pk")))
    found = Group.objects.filter(family_id=root.pk).exclude(pk=root.pk)
    numbers = dict(found.annotate(number=mine).values_list("pk", "number"))
    # Of what holds no case that the reader sees there is nothing to say.
    listed = _worded(scope, list(found.order_by("pk")))
    return [(one, numbers[one.pk]) for one in listed if numbers[one.pk] or sees_all(scope, one)]


def mergeable(scope: Scope, root: Group, *, limit: int = 20) -> list[Group]:
    """Other groups with open cases of the same legal entity and code that stand for themselves, newest first."""
    seen = open_cases(scope).order_by().filter(group_id=OuterRef("pk"))
    found = Group.objects.filter(Exists(seen), legal_entity_id=root.legal_entity_id, code=root.code)
    found = found.filter(Q(family=None) | Q(family=F("pk"))).exclude(state__in=HIDDEN).exclude(pk=root.pk)
    return _worded(scope, list(found.order_by("-pk")[:limit]))


def transactions_of(scope: Scope, root: Group, *, most: int) -> list[int]:
    """The transactions of the open cases of a group and of what was merged into it; none where they are more than ``most``."""
    rows = Case.objects.within(scope).filter(group_id__in=group_ids(root.pk), state__in=OPEN_STATES)
    found = list(rows.order_by().values_list("transaction_id", flat=True)[: most + 1])
    return found if len(found) <= most else []


def group_history(scope: Scope, found: Group) -> list[GroupEvent]:
    """Every move of a group, oldest first; without the sentences of others' cases, where the scope does not see all of it."""
    events = list(found.events.select_related("by"))
    for event in events:
        if event.what in ("merged", "unmerged") and not sees_all(scope, found):
            event.old = event.new = ""
    return events


# ---- The fix form ---------------------------------------------------------------------------------------------------
def mapping_kind_of(case: Case) -> str:
    """The kind of mapping that fixes the case, "" where none does: a value that a system has refused (its parameters name the
    system) has a partner already, or is the system's own."""
    return entry(case.code).mapping_kind if case.value and "system" not in case.params else ""


def mapping_candidates(case: Case, *, limit: int = 50) -> list[Candidate]:
    """What the case's value could mean: items that the entity's ERP last showed, the likeliest first.

    Empty when the code has no mapping, or the entity no ERP.
    """
    kind = mapping_kind_of(case)
    route = organization.route(case.legal_entity_id, "erp") if case.legal_entity_id and kind else None
    if route is None:
        return []
    rows = records.of_type(system_id=route.system.pk, object_type=kind)
    wanted = " ".join(
        str(part) for part in (case.params.get("name"), case.params.get("description"), case.value) if part
    )
    return ranked(wanted, rows)[:limit]


def mapping_in_force(case: Case) -> Candidate | None:
    """What the case's value means already: the case was found before the mapping came into force and has not run since."""
    kind = mapping_kind_of(case)
    value = case.value.strip()
    if not kind or not value:
        return None
    found = governance.translate(kind=kind, legal_entity_id=case.legal_entity_id, source=value)
    if found is None:
        return None
    return Candidate(found.target, found.label or found.target, _("in force already"), 100.0)


# ---- Decisions -------------------------------------------------------------------------------------------------------
#: Codes whose cases name the records that the match ladder found.
CHOSEN_FROM_LADDER = ("CUS-DUP", "CUS-AMBIG-EXTID")


def may_be_new(candidates: Iterable[Mapping[str, Any]]) -> bool:
    """Whether a customer can be none of these: not when they share what tells customers apart (key, tax id)."""
    return not any(one["rung"] in EXACT for one in candidates)


def customer_candidates(case: Case) -> list[dict[str, Any]]:
    """The records among which a person chooses for a case of doubled customers or a doubled key, likeliest first; else [].

    ``{external_id, name, rung, score, inactive, url}`` each, as the match ladder found them."""
    if case.code not in CHOSEN_FROM_LADDER or case.subject_kind != "customer":
        return []
    return list(case.params.get("candidates") or [])


def editable_field(case: Case) -> str:
    """The field of the case's subject that may be filled in here; "" when there is none."""
    return case.field if case.field in EDITABLE.get(case.subject_kind, {}) else ""


def field_label(case: Case, field: str) -> str:
    """What people call a field that may be filled in."""
    return str(EDITABLE[case.subject_kind][field])


def edits_of(case: Case) -> list[Edit]:
    """What people have filled in for the case's subject."""
    return sync.edits_of_subject(case.subject_kind, case.subject_key)
