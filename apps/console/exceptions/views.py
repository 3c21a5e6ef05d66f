"""Exceptions: what is broken, in order of money and time; the fix in place."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.http import require_GET, require_POST
from django_htmx.http import HttpResponseClientRefresh

from apps.console import freshness
from apps.console.access import ConsoleRequest, screen
from apps.console.exceptions import presenters
from apps.console.exceptions.board import board_of
from apps.console.exceptions.forms import AssignForm, CommentForm, FixForm, SeenForm
from apps.console.pages import back_to, show
from apps.console.transactions.presenters import preview_of
from apps.core.errors import AppError, InvalidInput, Stale
from apps.organization import savedviews
from apps.organization import selectors as organization
from apps.sync import services as engine
from apps.triage import selectors as triage
from apps.triage import services as triage_services
from apps.triage.errors import PreviewExpired

PAGE = "console/exceptions/page.html"
#: So many skipped deals are named after a run; their cases tell the rest.
SAID = 10


@require_GET
@screen("exception.view")
def index(request: ConsoleRequest) -> HttpResponse:
    """Groups by cause, or cases; nothing opened. Without any filter the person's own first view, where there is one."""
    if (
        not request.GET
        and not request.htmx
        and (first := savedviews.default_of(request.user, screen="exceptions"))
    ):
        return redirect(f"{request.path}?{first}")
    fresh = freshness.stamp()
    return show(request, PAGE, {"board": board_of(request), "fresh": fresh}, partials=("list",))


@require_GET
@screen("exception.view")
def case(request: ConsoleRequest, ref: str) -> HttpResponse:
    """One case beside the list it was opened from."""
    return show_case(request, ref)


@require_POST
@screen("exception.view")
def take(request: ConsoleRequest, ref: str) -> HttpResponse:
    """Take a case that nobody has."""
    row = triage.case_detail(request.scope, ref).case
    try:
        mine = triage_services.case_take(case=row, by=request.user, seen=_seen(request))
    except Stale as error:
        messages.warning(request, error.message)
        return _back(request, ref)
    if mine:
        messages.success(request, _("%(ref)s is yours.") % {"ref": ref})
    else:
        who = row.assignee.display_name if row.assignee else _("Somebody")
        messages.warning(request, _("%(who)s was faster.") % {"who": who})
    return _back(request, ref)


@require_POST
@screen("exception.view")
def assign(request: ConsoleRequest, ref: str) -> HttpResponse:
    """Give a case to a person who may fix it, into the queue of a role, or back to whoever takes it."""
    row = triage.case_detail(request.scope, ref).case
    form = AssignForm(request.POST)
    if not form.is_valid():
        raise InvalidInput(_("Choose a person."))
    chosen, given = form.cleaned_data["to"], form.cleaned_data
    queue = chosen.removeprefix("role:") if chosen.startswith("role:") else ""
    people = organization.who_can("exception.fix", row.legal_entity_id, engagement_key=row.engagement_key)
    to = next((person for person in people if str(person.pk) == chosen), None)
    if chosen and not queue and to is None:
        raise InvalidInput(_("That person may not fix this case."))
    try:
        token = triage_services.case_assign(
            case=row, to=to, queue=queue, by=request.user, note=given["note"], seen=given["seen"] or None
        )
    except Stale as error:
        messages.warning(request, error.message)
    else:
        text = _("Assigned.") if to else _("Put into the queue.") if queue else _("Given back to the queue.")
        messages.success(request, text, extra_tags=token)
    return _back(request, ref)


@require_POST
@screen("exception.view")
def comment(request: ConsoleRequest, ref: str) -> HttpResponse:
    """Say something to the next person."""
    row = triage.case_detail(request.scope, ref).case
    form = CommentForm(request.POST)
    if not form.is_valid():
        raise InvalidInput(_("Write a comment of at most 5,000 characters."), fields={"text": _("Required.")})
    triage_services.case_comment(case=row, by=request.user, text=form.cleaned_data["text"])
    return _back(request, ref)


@require_GET
@screen("exception.view")
def fix_preview(request: ConsoleRequest, ref: str) -> HttpResponse:
    """What the chosen mapping would do to every case of the group; inside the form, or as a page without JavaScript.

    Plans for about two seconds; ``preview`` names one that was begun, of which the next cases are planned."""
    row = triage.case_detail(request.scope, ref).case
    target = request.GET.get("target", "").strip()
    label = presenters.label_of(row, target)
    preview, problem = None, ""
    try:
        answer = triage_services.fix_preview(
            case=row,
            target=target,
            target_label=label,
            by=request.user,
            token=request.GET.get("preview", ""),
        )
        preview = presenters.preview_view(row, target, answer)
    except AppError as error:
        problem = error.message
    if request.htmx:
        context = {"preview": preview, "problem": problem}
        return render(request, "console/exceptions/fix_preview.html", context)
    if problem:
        messages.error(request, problem)
    return show_case(request, ref, preview=preview)


@require_POST
@screen("exception.view")
def fix(request: ConsoleRequest, ref: str) -> HttpResponse:
    """Add the mapping and run exactly what the preview showed."""
    row = triage.case_detail(request.scope, ref).case
    form = FixForm(request.POST)
    if not form.is_valid() or not form.cleaned_data["token"]:
        raise InvalidInput(_("Look at the preview first; it runs exactly what the preview showed."))
    target = form.cleaned_data["target"]
    if target != form.cleaned_data["previewed"]:
        raise InvalidInput(_("You chose another value after the preview; look at a fresh one."))
    label = presenters.label_of(row, target)
    try:
        result = triage_services.case_fix_mapping(
            case=row,
            target=target,
            target_label=label,
            by=request.user,
            preview_token=form.cleaned_data["token"],
            seen=form.cleaned_data["seen"] or None,
        )
    except PreviewExpired:
        raise
    except Stale as error:
        messages.warning(request, error.message)
        return _back(request, ref)
    _say_result(request, result)
    if result["job"]:
        messages.success(request, _("%(ref)s runs it; you may leave.") % {"ref": result["job"]})
        return redirect("console:job", result["job"])
    return _back(request, ref)


@require_GET
@screen("exception.view")
def progress(request: ConsoleRequest, ref: str) -> HttpResponse:
    """How far the run has come; asked again by the page until everything has settled."""
    row = triage.case_detail(request.scope, ref).case
    running = presenters.progress_of(request.scope, row) if row.mapping_id else None
    if not request.htmx or running is None:
        return redirect("console:case", ref)
    if running.settled:
        # List, states and what may be done next have all changed: the page is loaded again once, where it was.
        return HttpResponseClientRefresh()
    return render(request, "console/exceptions/progress.html", {"progress": running})


@require_GET
@screen("transaction.replay")
def retry_preview(request: ConsoleRequest, ref: str) -> HttpResponse:
    """What running the case's transaction again would do."""
    row = triage.case_detail(request.scope, ref).case
    triage_services.require_certain(row)
    preview = preview_of(engine.preview(transaction_ids=[row.transaction_id]))
    # As the page showed it: what happened before this preview is news to its reader too.
    seen = request.GET.get("seen") or triage.seen_to_run(row)
    context = {"case": row, "preview": preview, "seen": seen}
    template = "console/exceptions/retry_preview.html"
    return render(request, template if request.htmx else "console/exceptions/retry_page.html", context)


@require_POST
@screen("transaction.replay")
def retry(request: ConsoleRequest, ref: str) -> HttpResponse:
    """Run the case's transaction again, exactly as its preview showed it."""
    row = triage.case_detail(request.scope, ref).case
    try:
        triage_services.case_retry(
            case=row, by=request.user, token=request.POST.get("token", ""), seen=_seen(request)
        )
    except Stale as error:
        messages.warning(request, error.message)
    else:
        messages.success(request, _("%(ref)s runs again.") % {"ref": row.transaction_ref})
    return _back(request, ref)


@require_POST
@screen("transaction.replay")
def look_up(request: ConsoleRequest, ref: str) -> HttpResponse:
    """Have the systems asked what became of what was sent; nothing is sent."""
    row = triage.case_detail(request.scope, ref).case
    try:
        triage_services.case_look_up(case=row, by=request.user, seen=_seen(request))
    except Stale as error:
        messages.warning(request, error.message)
    else:
        messages.success(request, _("It is being looked up; what is found decides what a run would do."))
    return _back(request, ref)


def _seen(request: ConsoleRequest) -> str | None:
    form = SeenForm(request.POST)
    return (form.cleaned_data["seen"] if form.is_valid() else "") or None


def show_case(
    request: ConsoleRequest, ref: str, *, preview: Any = None, decided: tuple[str, Any] = ("", None)
) -> HttpResponse:
    """The page of a case, with the preview of a fix or of a decision where one was asked for without JavaScript."""
    only_detail = request.headers.get("HX-Target") == "detail" and bool(request.htmx)
    fresh = freshness.stamp()
    board = board_of(request, whole=not only_detail)
    page = presenters.case_page(request, ref, board, preview=preview, decided=decided)
    return show(request, PAGE, {"board": board, "page": page, "fresh": fresh}, partials=("detail", "list"))


def _say_result(request: ConsoleRequest, result: dict[str, Any]) -> None:
    replayed = len(result["replayed"])
    if result["waiting"]:
        messages.success(request, _("The mapping waits for a second person; nothing has run yet."))
    elif replayed:
        text = ngettext("%(n)d transaction runs.", "%(n)d transactions run.", replayed) % {"n": replayed}
        messages.success(request, text)
    skipped, later = result["skipped_stale"], result["came_later"]
    for one in skipped[:SAID]:
        messages.warning(request, f"{one['label'] or one['ref']}: {one['reason']}")
    if len(skipped) > SAID:
        rest = len(skipped) - SAID
        text = ngettext("%(n)d further deal was skipped.", "%(n)d further deals were skipped.", rest)
        messages.warning(request, text % {"n": rest})
    if later:
        text = ngettext(
            "%(n)d case came after this preview and was not run. Preview it next.",
            "%(n)d cases came after this preview and were not run. Preview them next.",
            later,
        )
        messages.warning(request, text % {"n": later})


def _back(request: ConsoleRequest, ref: str) -> HttpResponse:
    """To the case within its list, never to a preview address."""
    address = reverse("console:case", args=[ref])
    response = back_to(request, address)
    if (
        "/decide" in response["Location"]
        or "/fix" in response["Location"]
        or "/retry" in response["Location"]
    ):
        response["Location"] = address
    return response
