"""Acknowledge, snooze or take up one case, or snooze those chosen in the list.

Public surface: the views :func:`stand` and :func:`snooze_chosen`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.contrib import messages
from django.http import Http404, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.http import require_POST

from apps.console.access import ConsoleRequest, screen
from apps.console.exceptions.bulk_views import ChosenForm, chosen_of, say_skipped, seen_of
from apps.console.exceptions.forms import StanceForm
from apps.console.pages import back_to
from apps.core.errors import InvalidInput, Stale, WrongState
from apps.triage import selectors as triage
from apps.triage import services as triage_services


class SnoozeForm(ChosenForm, StanceForm):
    """Several cases, and until when."""


def _snooze(given: dict[str, Any], **common: Any) -> str:
    return triage_services.case_snooze(**common, until=_until(given), treatment=given["treatment"])


def _plain(verb: Callable[..., str]) -> Callable[..., str]:
    return lambda given, **common: verb(**common)


_VERBS: dict[str, Callable[..., str]] = {
    "acknowledge": _plain(triage_services.case_acknowledge),
    "snooze": _snooze,
    "reopen": _plain(triage_services.case_take_up),
}


@require_POST
@screen("exception.view")
def stand(request: ConsoleRequest, ref: str, verb: str) -> HttpResponse:
    """Acknowledge, snooze or take up again; what stands against it is said where the person is."""
    if verb not in _VERBS:
        raise Http404
    row = triage.case_detail(request.scope, ref).case
    given = _read(StanceForm(request.POST))
    try:
        common = {"case": row, "seen": given["seen"], "by": request.user, "why": given["why"]}
        token = _VERBS[verb](given, **common)
    except (Stale, WrongState) as error:
        messages.warning(request, error.message)
    else:
        row.refresh_from_db()
        state = row.get_stance_display() or _("Open")
        messages.success(request, _("%(ref)s is %(state)s now.") % {"ref": ref, "state": state}, token)
    return back_to(request, reverse("console:case", args=[ref]))


@require_POST
@screen("exception.fix")
def snooze_chosen(request: ConsoleRequest) -> HttpResponse:
    """Snooze the chosen cases; what was moved since it was shown, or would miss its run, is told and left alone."""
    form = SnoozeForm(request.POST)
    given = _read(form)
    rows, shown, _words, back = chosen_of(request, form)
    found = list(rows.prefetch_related(None)[: triage_services.MOST_ASSIGNED + 1])
    answer = triage_services.cases_snooze(
        **seen_of(form, found, shown),
        by=request.user,
        until=_until(given),
        why=given["why"],
        treatment=given["treatment"],
    )
    if answer.done:
        text = ngettext("%(n)d case snoozed.", "%(n)d cases snoozed.", len(answer.done))
        messages.success(request, text % {"n": len(answer.done)}, extra_tags=answer.undo)
    say_skipped(request, answer.skipped)
    return redirect(back or "console:exceptions")


def _read(form: StanceForm) -> dict[str, Any]:
    if not form.is_valid():
        raise InvalidInput(
            _("Something in the form cannot be read; look at it again."),
            fields={name: " ".join(map(str, errors)) for name, errors in form.errors.items()},
        )
    return form.cleaned_data


def _until(given: dict[str, Any]) -> Any:
    if given["until"] is None:
        raise InvalidInput(_("Choose until when."), fields={"until": _("Required.")})
    return given["until"]
