"""The detail on the right: one case with what it needs to be understood and fixed.

Public surface: :func:`case_page`, :func:`fix_view`, :func:`preview_view`, :func:`progress_of` and what they return;
:func:`owner_words`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from apps.console.access import ConsoleRequest, Permission, permissions, permitted
from apps.console.exceptions.board import Board, role_words
from apps.console.exceptions.deciding import DecideView, decide_view
from apps.console.exceptions.money import BlockedView, Reported, blocked_view
from apps.console.exceptions.sides import Grid, grid_of
from apps.console.pages import Neighbours
from apps.console.transactions import presenters as transactions
from apps.core.errors import NotFound
from apps.core.scope import EVERYTHING, Scope
from apps.governance import selectors as governance
from apps.organization import selectors as organization
from apps.organization.permissions import Role, roles_with
from apps.records import selectors as records
from apps.sync import selectors as sync
from apps.triage import selectors as triage
from apps.triage import services as triage_services
from apps.triage.catalogue import known
from apps.triage.help import help_for
from apps.triage.states import Treatment
from apps.triage.words import doubt_words

TABS = (
    ("overview", gettext_lazy("Overview")),
    ("activity", gettext_lazy("Activity")),
    ("technical", gettext_lazy("Technical")),
)
_OWNERS = {
    "console": gettext_lazy("This console"),
    "contract": gettext_lazy("The contract"),
    "crm": gettext_lazy("The CRM"),
    "psa": gettext_lazy("The project system"),
    "erp": gettext_lazy("The ERP"),
    "billing": gettext_lazy("The billing platform"),
    "customer": gettext_lazy("The client"),
    "directory": gettext_lazy("The directory of people"),
    "authority": gettext_lazy("The authority and its registers"),
}
_IN_PLACE = ("map_value", "decide", "retry")
#: The likeliest partners are shown at once; the rest is folded away.
SHOWN_CHOICES = 6


@dataclass(frozen=True)
class Choice:
    """A possible partner. ``code`` is the system's own id."""

    target: str
    label: str
    code: str
    why: str


@dataclass(frozen=True)
class PreviewView:
    """What the fix would do: counts, money released per currency, one line a deal, the token that pins it. ``total`` is
    how many would run: a deal that could not be planned now is not part of it. Until ``complete``, only ``planned`` of
    ``frozen`` deals are known. ``unlisted`` deals have no line; ``later`` came after the preview."""

    ref: str
    complete: bool
    planned: int
    frozen: int
    percent: int
    target: str
    clears: int
    changes: int
    stays: int
    unreachable: int
    total: int
    released: Sequence[tuple[Any, str]]
    unknown: int
    lines: Sequence[Mapping[str, Any]]
    unlisted: int
    later: int
    after: str
    token: str


@dataclass(frozen=True)
class FixView:
    """The form in place. ``why_not`` disables it and says who could act. ``in_force``: the value has its partner already,
    only this case has not run since."""

    label: str
    choices: Sequence[Choice]
    more: Sequence[Choice]
    more_open: bool
    chosen: str
    why_not: str
    preview: PreviewView | None = None
    in_force: bool = False
    #: The partners are not read from the ERP, so its id is typed in.
    free: bool = False


@dataclass(frozen=True)
class Step:
    """A fix that is made elsewhere, with a link into that system where we know one."""

    label: str
    system: str
    url: str


@dataclass(frozen=True)
class Progress:
    """What became of the cases that one fix ran: live until ``settled``."""

    ref: str
    total: int
    done: int
    cleared: int
    left: int
    percent: int
    settled: bool
    released: Sequence[tuple[Any, str]]
    turned: Sequence[Any]
    waits: str
    confirm: str
    beside: int
    group_id: int


@dataclass(frozen=True)
class CasePage:
    case: Any
    entry: Any
    alike: int
    cause: Any
    age: str
    escalated_to: str
    reported: Reported | None
    blocked: BlockedView | None
    #: Open cases that must clear before this one's transaction can go on.
    behind: Sequence[Any]
    #: Where it stands, for forms that run something.
    seen: str
    treatments: Sequence[tuple[str, Any]]
    who: str
    owner: str
    tab: str
    tabs: Sequence[tuple[str, Any]]
    neighbours: Neighbours
    may_fix: Permission
    may_comment: Permission
    may_replay: Permission
    may_reveal: Permission
    sees_audit: bool
    comments: Sequence[Any]
    events: Sequence[Any]
    cause_events: Sequence[Any]
    assignable: Sequence[Any]
    queues: Sequence[tuple[str, Any]]
    queue: str
    grid: Grid
    fix: FixView | None
    decide: DecideView | None
    edits: Sequence[Any]
    #: The system whose record may be named as the fix; "" where there is none to be asked.
    asked: str
    #: Steps that were sent and nobody knows what became of; nothing is run again before they are looked up.
    in_doubt: str
    steps: Sequence[Step]
    running: Progress | None
    #: The firm's own words beside the catalogue's, with who wrote them and when; None where there are none.
    help: Any = None
    #: Whether its code has a page of its own.
    listed: bool = False
    transaction: Any = None
    plan: Any = None
    bars: Sequence[Any] = ()

    @property
    def under_way(self) -> bool:
        """A run of it is going on, or waits for a second person: nothing else is begun."""
        return self.case.state in triage.UNDER_WAY


def case_page(
    request: ConsoleRequest,
    ref: str,
    board: Board,
    *,
    preview: PreviewView | None = None,
    decided: tuple[str, Any] = ("", None),
) -> CasePage:
    """One case for one reader; not found outside the scope. Each tab reads only what it shows."""
    detail = triage.case_detail(request.scope, ref)
    case, entry = detail.case, detail.entry
    tab = request.GET.get("tab", "")
    tab = tab if tab in dict(TABS) else "overview"
    place: dict[str, Any] = {"legal_entity_id": case.legal_entity_id, "engagement_key": case.engagement_key}
    may_fix = permitted(request, "exception.fix", **place)
    overview = tab == "overview"
    doubts = sync.in_doubt([case.transaction_id]).get(case.transaction_id, []) if overview else []
    page = CasePage(
        case=case,
        entry=entry,
        age=triage.age_of(
            case.legal_entity_id, case.opened_at, triage.age_bounds([case.legal_entity_id or 0])
        ),
        escalated_to=_escalated_to(case),
        reported=_reported(case),
        blocked=blocked_view(
            triage.blocked_behind(permissions(request).scope("transaction.view"), [case.transaction_id])
        )
        if overview and case.is_open
        else None,
        behind=triage.waits_behind(request.scope, case) if case.is_open else [],
        seen=f"{case.seen}#{detail.events[-1].pk if detail.events else 0}",
        treatments=Treatment.choices,
        cause=case.group.merged_into or case.group,
        alike=detail.siblings + int(case.is_open),
        who=role_words(entry.resolvers),
        owner=_owner(case, entry),
        tab=tab,
        tabs=TABS,
        neighbours=board.neighbours(case.ref, page=request.GET.get("page", "")),
        may_fix=may_fix,
        may_comment=permitted(request, "exception.comment", **place),
        may_replay=permitted(request, "transaction.replay", **place),
        may_reveal=permitted(request, "payload.reveal", **place),
        sees_audit=bool(permitted(request, "audit.view", **place)),
        comments=detail.comments,
        events=list(reversed(detail.events)),
        cause_events=list(reversed(triage.group_history(request.scope, case.group.merged_into or case.group)))
        if tab == "activity"
        else [],
        queues=[(role.value, role.label) for role in Role if role in roles_with("exception.fix")],
        queue=str(Role(case.queue).label) if case.queue else "",
        assignable=_assignable(case) if may_fix and case.is_open else [],
        grid=grid_of(case, entry) if overview else Grid(),
        fix=fix_view(request, case, entry, preview=preview, doubts=doubts)
        if overview and case.is_open
        else None,
        decide=decide_view(request, case, chosen=decided[0], preview=decided[1], doubts=doubts)
        if overview and case.is_open
        else None,
        edits=triage.edits_of(case) if overview else [],
        in_doubt=", ".join(doubts),
        asked=_asked(case) if overview and case.is_open and may_fix and not doubts else "",
        steps=_steps(case, entry) if overview else [],
        running=progress_of(request.scope, case) if overview and case.mapping_id else None,
        help=help_for(case.code, case.legal_entity_id) if overview else None,
        listed=known(case.code),
    )
    return _with_technical(page) if tab == "technical" else page


def _with_technical(page: CasePage) -> CasePage:
    try:
        row = sync.transaction_detail(EVERYTHING, page.case.transaction_ref)
    except NotFound:
        return page
    return replace(page, transaction=row, plan=sync.last_plan(row), bars=transactions.bars(row))


def _reported(case: Any) -> Reported | None:
    found = triage.in_reporting_currency(case.held_amount, case.currency)
    return Reported(found[0], found[1], ()) if found else None


def _escalated_to(case: Any) -> str:
    """The role that was told of a case that still nobody holds."""
    told = case.is_open and case.escalated_at and case.assignee_id is None
    return str(Role(case.escalated_to).label) if told and case.escalated_to in Role.values else ""


def _asked(case: Any) -> str:
    system = triage_services.asked_system(case)
    return system.name if system is not None and case.state != "in_progress" else ""


def _assignable(case: Any) -> list[Any]:
    return organization.who_can("exception.fix", case.legal_entity_id, engagement_key=case.engagement_key)[
        :50
    ]


def _owner(case: Any, entry: Any) -> str:
    """The system that is right about it, by name where the entity's routing names one."""
    if case.legal_entity_id and entry.owner in ("crm", "psa", "erp", "billing"):
        route = organization.route(case.legal_entity_id, entry.owner)
        if route is not None:
            return route.system.name
    return owner_words(entry.owner)


def owner_words(owner: str) -> str:
    """Who is right about it, without a routing at hand."""
    return str(_OWNERS.get(owner, owner))


def _steps(case: Any, entry: Any) -> list[Step]:
    """Fixes made in another system or by another person."""
    held = {row.system.kind: row for row in records.records_for(case.subject_kind, case.subject_key)}
    steps = []
    for fix in entry.fixes:
        if str(fix.action) in _IN_PLACE:
            continue
        row = held.get(fix.system)
        system = row.system.name if row else str(_OWNERS.get(fix.system, "")) if fix.system else ""
        steps.append(Step(str(fix.label), system, row.url if row else ""))
    return steps


def fix_view(
    request: ConsoleRequest,
    case: Any,
    entry: Any,
    *,
    preview: PreviewView | None = None,
    doubts: Sequence[str] = (),
) -> FixView | None:
    """The mapping form, when a missing partner is the cause and the case does not already wait for a decision. With ``doubts``
    about what was sent for the case it is disabled."""
    kind = triage.mapping_kind_of(case)
    if not kind or case.state in triage.UNDER_WAY:
        return None
    place: dict[str, Any] = {"legal_entity_id": case.legal_entity_id, "engagement_key": case.engagement_key}
    may_add = permitted(request, "mapping.add", **place)
    may_run = permitted(request, "transaction.replay", **place)
    label = next((str(fix.label) for fix in entry.fixes if fix.mapping_kind), str(entry.title))
    in_force = triage.mapping_in_force(case)
    choices = [
        Choice(found.target, found.label, found.target, found.hint)
        for found in ([in_force] if in_force else triage.mapping_candidates(case))
    ]
    why_not = may_add.why or may_run.why or doubt_words(doubts)
    preview = preview or _left_preview(request, case, in_force)
    if doubts:
        preview = None
    chosen = preview.target if preview else in_force.target if in_force else ""
    hidden = chosen in {choice.target for choice in choices[SHOWN_CHOICES:]}
    return FixView(
        label,
        choices[:SHOWN_CHOICES],
        choices[SHOWN_CHOICES:],
        hidden,
        chosen,
        why_not,
        preview,
        in_force=in_force is not None,
        free=kind != "service_item" and not choices,
    )


def _left_preview(request: ConsoleRequest, case: Any, in_force: Any) -> PreviewView | None:
    """A long preview that the person left is found again where it stands, unless the value means something else by now."""
    left = triage.fix_under_way(case, request.user)
    if left is None or (in_force is not None and in_force.target != left[0]):
        return None
    return preview_view(case, *left)


def label_of(case: Any, target: str) -> str:
    """The words of a candidate, by its id; the id itself for one that is no longer listed."""
    return next((found.label for found in triage.mapping_candidates(case) if found.target == target), target)


def preview_view(case: Any, target: str, answer: Mapping[str, Any]) -> PreviewView:
    """The preview of a fix for its form."""
    counts, money, lines = answer["counts"], answer["money"], answer["results"]
    return PreviewView(
        ref=case.ref,
        complete=answer["complete"],
        planned=answer["planned"],
        frozen=answer["total"],
        percent=round(100 * answer["planned"] / answer["total"]),
        target=target,
        clears=counts["clears"],
        changes=counts["changes"],
        stays=counts["stays"],
        unreachable=counts["unreachable"],
        total=answer["planned"] - counts["unreachable"],
        released=[(line["released"], line["currency"]) for line in money if line["currency"]],
        unknown=sum(line["unknown"] for line in money),
        lines=lines,
        unlisted=answer["total"] - len(lines),
        later=answer["came_later"],
        after=_after(case, answer["exposure"], shown=answer["exposure_shown"]) if answer["complete"] else "",
        token=answer["token"],
    )


def _after(case: Any, exposure: Any, *, shown: bool) -> str:
    """What segregation of duties means for this fix, said before it runs; the sum only to who sees all that is in it."""
    entity = case.legal_entity
    if entity is None:
        return ""
    if exposure is None:
        return _("The exposure is unknown, so a second person must confirm the mapping before anything runs.")
    if exposure.amount > entity.mapping_threshold and not shown:
        return _("It is over the limit of %(entity)s: a second person confirms before anything runs.") % {
            "entity": entity.name
        }
    if exposure.amount > entity.mapping_threshold:
        return _(
            "%(amount)s is over the limit of %(entity)s: a second person confirms before anything runs."
        ) % {
            "amount": exposure,
            "entity": entity.name,
        }
    return _(
        "It takes effect at once. What it releases waits as drafts until a second person has confirmed it."
    )


def progress_of(scope: Scope, case: Any) -> Progress | None:
    """How far the cases of this case's fix have come: three queries, however many cases there are."""
    run = triage.fix_progress(scope, case)
    if run is None:
        return None
    done = run.total - run.moving - run.waiting
    return Progress(
        ref=case.ref,
        total=run.total,
        done=done,
        cleared=run.cleared,
        left=done - run.cleared,
        percent=round(100 * done / run.total),
        settled=not run.moving,
        released=run.released,
        turned=run.turned,
        waits=_("A second person must confirm the mapping; then it runs by itself.") if run.waiting else "",
        confirm=_confirm_words(case) if run.cleared else "",
        beside=run.beside,
        group_id=case.group_id,
    )


def _confirm_words(case: Any) -> str:
    mapping = governance.mapping(mapping_id=case.mapping_id, scope=EVERYTHING)
    if mapping.state == "effective":
        return _("What was released waits as drafts until the mapping is confirmed.")
    return _("The mapping is confirmed.") if mapping.state == "confirmed" else ""
