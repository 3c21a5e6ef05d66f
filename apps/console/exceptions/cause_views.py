"""Decisions about a cause, and taking back what one has just done."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.contrib import messages
from django.http import Http404, HttpResponse
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST

from apps.console.access import ConsoleRequest, screen
from apps.console.exceptions.forms import CauseForm, MergeForm
from apps.console.pages import back_to
from apps.core.errors import InvalidInput, Stale, WrongState
from apps.triage import selectors as triage
from apps.triage import services as triage_services


def _snooze(given: dict[str, Any], **common: Any) -> str:
    if given["until"] is None:
        raise InvalidInput(_("Choose until when."), fields={"until": _("Required.")})
    return triage_services.group_snooze(
        **common, until=given["until"], why=given["why"], treatment=given["treatment"]
    )


def _ignore(given: dict[str, Any], **common: Any) -> str:
    return triage_services.group_ignore(
        **common, until=given["until"], why=given["why"], treatment=given["treatment"]
    )


def _plain(verb: Callable[..., str]) -> Callable[..., str]:
    return lambda given, **common: verb(**common, why=given["why"])


_VERBS: dict[str, Callable[..., str]] = {
    "acknowledge": _plain(triage_services.group_acknowledge),
    "reopen": _plain(triage_services.group_reopen),
    "resolve": _plain(triage_services.group_resolve),
    "snooze": _snooze,
    "ignore": _ignore,
}


@require_POST
@screen("exception.view")
def decide(request: ConsoleRequest, group_id: int, verb: str) -> HttpResponse:
    """Acknowledge, snooze, ignore, resolve or take up again; what stands against it is said where the person is."""
    if verb not in _VERBS:
        raise Http404
    group = triage.group(request.scope, group_id)
    form = CauseForm(request.POST)
    if not form.is_valid():
        raise InvalidInput(
            _("Something in the form cannot be read; look at it again."),
            fields={name: " ".join(map(str, errors)) for name, errors in form.errors.items()},
        )
    given = form.cleaned_data
    try:
        token = _VERBS[verb](given, group=group, seen=given["seen"], by=request.user)
    except (Stale, WrongState) as error:
        messages.warning(request, error.message)
    else:
        group.refresh_from_db()
        text = _("The cause is %(state)s now.") % {"state": group.get_state_display()}
        messages.success(request, text, extra_tags=token)
    return back_to(request, f"{reverse('console:exceptions')}?group={group_id}")


@require_POST
@screen("exception.view")
def merge(request: ConsoleRequest, group_id: int) -> HttpResponse:
    """Let this cause stand for another one too; the form names that and the version of it that was shown."""
    group = triage.group(request.scope, group_id)
    form = MergeForm(request.POST)
    if not form.is_valid():
        raise InvalidInput(_("Choose the cause that is the same."), fields={"other": _("Required.")})
    given = form.cleaned_data
    other_id, other_seen = (int(part) for part in given["other"].split("."))
    other = triage.group(request.scope, other_id)
    try:
        token = triage_services.group_merge(
            into=group,
            seen=given["seen"],
            group=other,
            group_seen=other_seen,
            by=request.user,
            why=given["why"],
        )
    except (Stale, WrongState) as error:
        messages.warning(request, error.message)
    else:
        messages.success(request, _("The two causes are one row now."), extra_tags=token)
    return back_to(request, f"{reverse('console:exceptions')}?group={group_id}")


@require_POST
@screen("exception.view")
def unmerge(request: ConsoleRequest, group_id: int) -> HttpResponse:
    """Let a merged cause stand for itself again."""
    root = triage.group(request.scope, group_id)
    form = CauseForm(request.POST)
    member = next((one for one, _n in triage.members(request.scope, root) if one.pk == group_id), None)
    if member is None or not form.is_valid():
        raise InvalidInput(_("It is not part of another cause."))
    given = form.cleaned_data
    try:
        token = triage_services.group_unmerge(
            group=member, seen=given["seen"], by=request.user, why=given["why"]
        )
    except (Stale, WrongState) as error:
        messages.warning(request, error.message)
    else:
        messages.success(request, _("It stands for itself again."), extra_tags=token)
    return back_to(request, f"{reverse('console:exceptions')}?group={root.pk}")


@require_POST
@screen("exception.view")
def undo(request: ConsoleRequest, token: str) -> HttpResponse:
    """Take back what the person has just done, unless something has changed since."""
    try:
        messages.success(request, triage_services.undo(token=token, by=request.user))
    except (Stale, WrongState) as error:
        messages.warning(request, error.message)
    return back_to(request, reverse("console:exceptions"))
