"""The list on the left: groups by cause, or cases.

Public surface: :func:`board_of`, :func:`cases_of`, :func:`scope_words`, :class:`Board`, :class:`GroupLine`,
:func:`role_words`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.core import signing
from django.core.paginator import Page
from django.http import QueryDict
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from apps.console.access import ConsoleRequest, permissions
from apps.console.exceptions.causes import STATUSES, Cause, cause_of
from apps.console.exceptions.money import ExposureLine, Reported, exposure_lines, known_money, reported
from apps.console.pages import Listed, Neighbours, beyond, keyed_page_of, neighbours, page_of, with_count
from apps.console.savedviews.presenters import Shelf, shelf_of
from apps.core import clock
from apps.core.scope import NOTHING, Scope
from apps.organization import selectors as organization
from apps.organization.permissions import Role, roles_with
from apps.triage import selectors as triage
from apps.triage.catalogue import Severity, entry
from apps.triage.filters import ASSIGNEES, ORDERS, STATES, CaseFilter, states_of
from apps.triage.states import Treatment

PER_PAGE = 40
#: Salt of the signed instant at which a list was shown.
SHOWN_AT = "console.list-shown"
#: Columns that may be added to the list of cases (``?cols=``), by the names of ``triage.selectors.EXTRA_COLUMNS``.
COLUMNS = (
    ("code", gettext_lazy("Code")),
    ("customer_name", gettext_lazy("Client")),
    ("opened_at", gettext_lazy("Opened")),
    ("engagement_key", gettext_lazy("Engagement")),
    ("transaction_ref", gettext_lazy("Transaction")),
)
#: Up to so many open cases are counted by their age.
COUNTED = 20_000
#: The column by which the list of cases is paged.
_BY = "due_at"
_BADGES = ("acknowledged", "snoozed", "ignored")
_FILTERS = ("q", "role", "entity", "code", "severity", "age", "assignee")


@dataclass(frozen=True)
class GroupLine:
    """One cause as a row; money per currency, what nobody knows counted apart."""

    id: int
    title: str
    explanation: str
    reason: str
    code: str
    severity: str
    severity_label: str
    who: str
    entity: str
    count: int
    held: Sequence[tuple[Any, str]]
    unknown: int
    reported: Reported | None
    oldest: datetime | None
    due: datetime | None
    first_ref: str
    #: How old its oldest case is, in business days; "" where it was not asked for or has no calendar.
    age: str = ""
    #: A state of the desk that is worth a badge, "" for one that is simply open.
    state: str = ""
    #: One mapping clears every case of it; others share a reason and are fixed one by one.
    one_fix: bool = False


@dataclass(frozen=True)
class Board:
    """``view`` is groups or cases; ``group`` set = the cases of one group. ``refs`` are the cases listed on this page."""

    view: str
    groups: list[GroupLine] = field(default_factory=list)
    cases: list[Any] = field(default_factory=list)
    page: Page | Listed | None = None
    #: What the page of cases is one of.
    rows: Any = None
    group: GroupLine | None = None
    cause: Cause | None = None
    statuses: Sequence[tuple[str, Any]] = ()
    ages: Sequence[tuple[str, Any]] = ()
    aside: Mapping[str, int] = field(default_factory=dict)
    filtered: bool = False
    entities: Sequence[tuple[str, str]] = ()
    roles: Sequence[tuple[str, Any]] = ()
    assignees: Sequence[tuple[str, Any]] = ()
    orders: Sequence[tuple[str, Any]] = ()
    total: int = 0
    held: Sequence[tuple[Any, str]] = ()
    unknown: int = 0
    reported: Reported | None = None
    exposures: Sequence[ExposureLine] = ()
    next_due: datetime | None = None
    #: The reader may act on several cases at once.
    choosing: bool = False
    shelf: Shelf | None = None
    #: What the reader wants to see of each case besides.
    extra: tuple[str, ...] = ()
    columns: Sequence[tuple[str, Any]] = ()
    #: Who may be given cases: people of the legal entity that the list is narrowed to, and queues of roles.
    takers: Sequence[tuple[Any, str]] = ()
    #: When it was read, signed: what is done with all that match leaves alone what has moved since.
    shown: str = ""
    queues: Sequence[tuple[str, Any]] = ()
    #: What may happen to billing that is snoozed past its run.
    treatments: Sequence[tuple[str, Any]] = ()

    @property
    def refs(self) -> list[str]:
        return [row.ref for row in self.cases]

    def neighbours(self, ref: str, *, page: str) -> Neighbours:
        """The cases before and after one in the list whose ``page`` is shown, beyond its edges too."""
        found = neighbours(self.refs, ref, page=page)
        return beyond(found, self.page, self.rows, by=_BY) if isinstance(self.page, Listed) else found


def board_of(request: ConsoleRequest, *, whole: bool = True) -> Board:
    """The list that the query string asks for. Without ``whole`` only what the neighbours of a case need."""
    read_at = signing.dumps(clock.now().isoformat(), salt=SHOWN_AT)
    group_id = _number(request.GET.get("group"))
    view = "cases" if group_id or request.GET.get("view") == "cases" else "groups"
    rows = filtered_cases(request)
    filtered = any(request.GET.get(name) for name in _FILTERS)
    entities = organization.entity_choices(request.scope)
    facets = _facets(request, entities, view)
    if view == "groups":
        page, found = _groups(request, rows, entities)
        parts: dict[str, Any] = {"groups": _with_ages(found), "page": page}
    else:
        total = facets.total if facets else None
        extra = tuple(name for name, _label in COLUMNS if name in request.GET.getlist("cols"))
        shown = triage.listed(rows, extra=extra)
        listed = keyed_page_of(request, shown, total=total, by=_BY, per_page=PER_PAGE)
        choosing = permissions(request).scope("transaction.replay") != NOTHING
        parts = {
            "cases": list(listed.object_list),
            "page": listed,
            "rows": shown,
            "choosing": choosing,
            "extra": extra,
        }
    if not whole:
        return Board(view=view, **parts)
    if group_id:
        parts["group"], parts["cause"] = _group(request, group_id)
    held = triage.billing_held(request.scope)
    return Board(
        view=view,
        filtered=filtered,
        entities=[
            (code, with_count(code, facets.entities.get(pk, 0)) if facets else code) for pk, code in entities
        ],
        roles=[
            (value, with_count(label, facets.roles.get(value, 0)) if facets else label)
            for value, label in Role.choices
        ],
        assignees=[*ASSIGNEES, *_queues(request)],
        orders=ORDERS,
        statuses=STATUSES,
        ages=_ages(request, filtered=filtered, total=facets.total if facets else 0)
        if view == "groups"
        else triage.AGES,
        aside=triage.put_aside(request.scope) if view == "groups" else {},
        total=facets.total
        if facets and not filtered and not request.GET.get("state")
        else triage.open_count(request.scope),
        held=known_money(held),
        unknown=sum(line.unknown for line in held),
        reported=reported(held),
        # Of all open cases they stand beside the causes; the list of cases is read for the next one.
        exposures=exposure_lines(_exposures(request.scope, group_id)) if view == "groups" or group_id else (),
        next_due=triage.next_due(request.scope),
        shelf=shelf_of(request, "exceptions"),
        shown=read_at,
        takers=_takers(request, entities) if parts.get("choosing") else (),
        queues=[(f"role:{role.value}", role.label) for role in Role if role in roles_with("exception.fix")],
        treatments=Treatment.choices if parts.get("choosing") else (),
        columns=COLUMNS if view == "cases" and not group_id else (),
        **parts,
    )


def _groups(
    request: ConsoleRequest, rows: Any, entities: Sequence[tuple[int, str]]
) -> tuple[Page, Sequence[triage.GroupRow]]:
    """A page of groups: from what is kept of all open cases; searched or narrowed to a person, from the cases themselves."""
    order = request.GET.get("order") or "money"
    narrowed = any(request.GET.get(name) for name in ("q", "assignee", "severity", "state", "age"))
    status = request.GET.get("status", "")
    status = status if status in dict(STATUSES) else ""
    role, code = request.GET.get("role", ""), request.GET.get("entity", "")
    if not narrowed and role in ("", *Role.values):
        kept = triage.group_list(
            request.scope,
            order=order,
            roles=[role] if role else None,
            code=request.GET.get("code", "").strip(),
            legal_entity_id=_entity_id(entities, code),
            status=status,
        )
        if kept is not None:
            page = page_of(request, kept, per_page=PER_PAGE)
            return page, list(page.object_list)
    rows = triage.with_status(rows, status)
    page = page_of(request, triage.groups(rows, scope=request.scope, order=order), per_page=PER_PAGE)
    return page, triage.group_rows(page.object_list, rows, scope=request.scope)


def _exposures(scope: Scope, group_id: int | None) -> list[triage.Exposed]:
    if group_id:
        return triage.exposures(triage.open_cases(scope).filter(group_id__in=triage.group_ids(group_id)))
    return triage.open_exposures(scope)


def _queues(request: ConsoleRequest) -> list[tuple[str, str]]:
    """The queues of the reader's own roles that cases can be put into."""
    able = roles_with("exception.fix")
    return [
        (f"role:{role.value}", queue_words(role.value))
        for role in Role
        if role in permissions(request).roles and role in able
    ]


def _takers(request: ConsoleRequest, entities: Sequence[tuple[int, str]]) -> list[tuple[Any, str]]:
    """People who may fix cases of the legal entity that the list is narrowed to; over several there are only the queues."""
    if not request.GET.get("entity"):
        return []
    able = organization.who_can("exception.fix", _entity_id(entities, request.GET.get("entity", "")))
    return [(person.pk, person.display_name) for person in able[:50]]


def _entity_id(entities: Sequence[tuple[int, str]], code: str) -> int | None:
    """None for all; 0, which no entity has, for one that the reader does not see."""
    return next((pk for pk, its_code in entities if its_code == code), 0) if code else None


def filtered_cases(request: ConsoleRequest) -> Any:
    """:func:`cases_of` of the request's own address."""
    return cases_of(request, request.GET)


def cases_of(request: ConsoleRequest, query: QueryDict) -> Any:
    """The scoped, filtered queryset; open cases unless another state is asked for, or a group has none open any more. Like the
    list of causes it leaves out what the desk has put aside, unless ``status`` asks for it; the list of cases also what is
    snoozed by itself. The cases of one cause are shown whole."""
    status = query.get("status", "")
    status = status if status in dict(STATUSES) else ""
    if not any(query.get(name) for name in (*_FILTERS, "state", "group")):
        return _at_hand(triage.open_cases(request.scope), query, status)
    data = query.copy()
    data.pop("order", None)
    if data.get("state") == "any":
        data.pop("state")
    elif not data.get("state"):
        data["state"] = "open_all"
        if not data.get("group"):
            return _at_hand(_filtered(request, data), query, status)
        if not _filtered(request, data).exists():
            data.pop("state")
    return _filtered(request, data)


def _at_hand(rows: Any, query: QueryDict, status: str) -> Any:
    rows = triage.with_status(rows, status)
    return triage.at_hand(rows) if query.get("view") == "cases" else rows


def scope_words(query: QueryDict) -> str:
    """What an address of the list chooses, in words: ``All that match: Billing analyst, OST-BE``."""
    labels: dict[str, Mapping[str, Any]] = {
        "role": dict(Role.choices),
        "severity": dict(Severity.choices),
        "age": dict(triage.AGES),
        "assignee": {**dict(ASSIGNEES), **{f"role:{role.value}": queue_words(role.value) for role in Role}},
        "state": {**dict(STATES), "any": _("Open and closed")},
        "status": dict(STATUSES),
    }
    parts = []
    for name in (*_FILTERS, "state", "status"):
        # The open ones are what the list shows where no state is asked for.
        if (value := query.get(name) or "") and (name, value) != ("state", "open_all"):
            parts.append(str(labels.get(name, {}).get(value, value)))
    if query.get("group"):
        parts.append(_("one cause"))
    return _("All that match: %(filters)s") % {"filters": ", ".join(parts)} if parts else _("All open cases")


def queue_words(role: str) -> str:
    """The queue of a role: ``Queue: Billing analyst``."""
    return _("Queue: %(role)s") % {"role": Role(role).label}


def _filtered(request: ConsoleRequest, data: QueryDict) -> Any:
    return CaseFilter(data, queryset=triage.cases(request.scope), request=request).qs


def _searched(request: ConsoleRequest) -> bool:
    """Narrowed by something that no counter knows."""
    return any(request.GET.get(name) for name in ("q", "assignee", "group", "age"))


def _facets(request: ConsoleRequest, entities: Sequence[tuple[int, str]], view: str) -> triage.Facets | None:
    """How many cases each choice leaves, of the states that the list shows; None where that would take long to be counted. The
    cases of one cause have no choices."""
    if request.GET.get("group"):
        return None
    state = request.GET.get("state", "")
    decided = view == "cases" and request.GET.get("status") in dict(STATUSES[1:-1])
    if _searched(request) or state == "snoozed" or decided:
        others = request.GET.copy()
        others.pop("role", None)
        others.pop("entity", None)
        role = request.GET.get("role", "")
        code = request.GET.get("entity", "")
        return triage.facets_of(
            cases_of(request, others),
            role=role if role in Role.values else "",
            legal_entity_id=_entity_id(entities, code),
        )
    asked: dict[str, Any] = {
        "severity": request.GET.get("severity", ""),
        "code": request.GET.get("code", ""),
        "role": request.GET.get("role", ""),
        "legal_entity_id": _entity_id(entities, request.GET.get("entity", "")),
    }
    found = triage.facets(request.scope, states=states_of(state), **asked)
    if view == "cases" and not state:
        causes = request.GET.get("status") != "any"
        found = triage.less(found, triage.snoozed_facets(request.scope, causes=causes, **asked))
    return found


def _group(request: ConsoleRequest, group_id: int) -> tuple[GroupLine | None, Cause]:
    """The head of one group (its open cases, or all of them once every one is closed) and what was decided about it."""
    found = triage.group(request.scope, group_id)
    ids = triage.group_ids(found.pk)
    rows = triage.open_cases(request.scope).filter(group_id__in=ids)
    stands = rows.exists()
    if not stands:
        rows = triage.cases(request.scope).filter(group_id__in=ids)
    lines = triage.group_rows(triage.groups(rows, scope=request.scope), rows, scope=request.scope)
    head = group_line(lines[0]) if lines else None
    warns = head is not None and head.severity == "warning" and not entry(head.code).exposure
    return head, cause_of(request, found, stands=stands, warns=warns)


def _with_ages(rows: Sequence[triage.GroupRow]) -> list[GroupLine]:
    bounds = triage.age_bounds({row.legal_entity_id for row in rows})
    return [group_line(row, age=triage.age_of(row.legal_entity_id, row.oldest, bounds)) for row in rows]


def _ages(request: ConsoleRequest, *, filtered: bool, total: int) -> Sequence[tuple[str, Any]]:
    """The choices of age, with how many open cases each leaves where nothing else narrows the list and they are not too many
    to be counted at each look."""
    if filtered or request.GET.get("state") or total > COUNTED:
        return triage.AGES
    counts = triage.ages(request.scope)
    return [(name, with_count(label, counts[name])) for name, label in triage.AGES]


def group_line(row: triage.GroupRow, *, age: str = "") -> GroupLine:
    """One group in words."""
    return GroupLine(
        id=row.id,
        title=str(row.entry.title),
        explanation=str(row.entry.explanation),
        reason=row.reason,
        code=row.code,
        severity=str(row.entry.severity),
        severity_label=str(row.entry.severity.label),
        who=role_words(row.resolvers),
        entity=row.legal_entity,
        count=row.count,
        held=known_money(row.held),
        unknown=sum(line.unknown for line in row.held),
        reported=reported(row.held),
        oldest=row.oldest,
        due=row.due_at,
        first_ref=row.first_ref,
        age=age,
        state=row.state if row.state in _BADGES else "",
        one_fix=bool(row.entry.mapping_kind),
    )


def role_words(roles: Iterable[str]) -> str:
    """``Billing analyst or Controller``: roles as people say them."""
    labels = [str(Role(role).label) for role in roles if role in Role.values]
    return _(" or ").join(labels) or _("An administrator")


def _number(text: str | None) -> int | None:
    return int(text) if text and text.isdecimal() and len(text) < 16 else None
