"""Decide about a case: previewed, then kept and run.

Public surface: the views :func:`preview`, :func:`decide` and :func:`assert_fixed`.
"""

from __future__ import annotations

from django import forms
from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_POST

from apps.console.access import ConsoleRequest, screen
from apps.console.exceptions.deciding import NEW
from apps.console.exceptions.forms import SeenForm
from apps.console.exceptions.views import show_case
from apps.console.transactions.presenters import preview_of
from apps.core.errors import AppError, InvalidInput
from apps.triage import selectors as triage
from apps.triage import services as triage_services


class DecideForm(SeenForm):
    token = forms.CharField(max_length=100_000)
    why = forms.CharField(max_length=500, required=False)


class AssertForm(SeenForm):
    """``record`` is the id of the record in the system that is right."""

    record = forms.CharField(max_length=100)
    why = forms.CharField(max_length=500, required=False)


@require_GET
@screen("exception.view")
def preview(request: ConsoleRequest, ref: str) -> HttpResponse:
    """What the decision would lead to; inside the form, or as the whole page without JavaScript."""
    row = triage.case_detail(request.scope, ref).case
    chosen = request.GET.get("value", "").strip()
    shown, wanted, problem = None, False, ""
    try:
        if not chosen:
            raise InvalidInput(_("Choose or enter something first."))
        answer = triage_services.decision_preview(
            case=row, value="" if chosen == NEW else chosen, by=request.user
        )
        shown, wanted = preview_of(answer), answer["wanted"]
    except AppError as error:
        problem = error.message
    if request.htmx:
        context = {"preview": shown, "wanted": wanted, "problem": problem}
        return render(request, "console/exceptions/decide_preview.html", context)
    if problem:
        messages.error(request, problem)
    return show_case(request, ref, decided=(chosen, shown))


@require_POST
@screen("exception.view")
def decide(request: ConsoleRequest, ref: str) -> HttpResponse:
    """Keep the decision and run exactly what its preview showed."""
    row = triage.case_detail(request.scope, ref).case
    form = DecideForm(request.POST)
    if not form.is_valid():
        raise InvalidInput(_("Look at the preview first; it runs exactly what the preview showed."))
    given = form.cleaned_data
    triage_services.case_decide(
        case=row, token=given["token"], by=request.user, why=given["why"], seen=given["seen"] or None
    )
    messages.success(request, _("Decided; %(ref)s runs again.") % {"ref": row.transaction_ref})
    return redirect("console:case", ref)


@require_POST
@screen("exception.view")
def assert_fixed(request: ConsoleRequest, ref: str) -> HttpResponse:
    """Look up the record that is said to fix it, and run what clears with it."""
    row = triage.case_detail(request.scope, ref).case
    form = AssertForm(request.POST)
    if not form.is_valid():
        raise InvalidInput(_("Name the record by its id, of at most 100 characters."))
    given = form.cleaned_data
    triage_services.case_assert(
        case=row,
        external_id=given["record"],
        by=request.user,
        why=given["why"],
        seen=given["seen"] or None,
    )
    messages.success(
        request, _("Found; %(ref)s runs again and is verified by its end.") % {"ref": row.transaction_ref}
    )
    return redirect("console:case", ref)
