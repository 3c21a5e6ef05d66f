"""What is done with several cases of the list at once, besides running them as a job.

Public surface: :func:`assign`, :func:`chosen_of`, :func:`seen_of`, :func:`say_skipped`, :data:`MOST_CHOSEN`.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

from django import forms
from django.contrib import messages
from django.core import signing
from django.http import HttpResponse, QueryDict
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.http import require_POST

from apps.console.access import ConsoleRequest, screen
from apps.console.exceptions.board import SHOWN_AT, cases_of, scope_words
from apps.core.errors import InvalidInput
from apps.organization import selectors as organization
from apps.triage import services as triage_services

#: More references than that are no page of a list.
MOST_CHOSEN = 500
#: So many skipped cases are named; their rows tell the rest.
SAID = 5


class ChosenForm(forms.Form):
    """``every`` = all that match the list's address, as it was at the signed instant ``shown``; otherwise the boxes ``case``:
    reference ``~`` place as it was shown."""

    every = forms.BooleanField(required=False)
    shown = forms.CharField(max_length=200, required=False)
    address = forms.CharField(max_length=500, required=False)


class AssignForm(ChosenForm):
    """``to``: ``me``, a person's id, ``role:`` and a role whose queue it goes into, or empty: back to whoever takes it."""

    to = forms.RegexField(r"^(me|\d{1,15}|role:\w+)$", required=False)
    note = forms.CharField(required=False, max_length=2000)


def chosen_of(request: ConsoleRequest, form: ChosenForm) -> tuple[Any, dict[str, str], str, str]:
    """The chosen cases within the reader's scope, the place of each as shown (by reference; {} for all that match), what was
    chosen in words, and the address of our list to go back to ("" for any other). Raises :class:`InvalidInput`."""
    address = form.cleaned_data["address"]
    query = QueryDict(urlsplit(address).query)
    boxes = request.POST.getlist("case")[:MOST_CHOSEN]
    back = address if address.startswith(reverse("console:exceptions")) else ""
    if form.cleaned_data["every"]:
        return cases_of(request, query), {}, scope_words(query), back
    if not boxes:
        raise InvalidInput(_("Choose cases first."))
    shown = dict(box.partition("~")[::2] for box in boxes)
    rows = cases_of(request, QueryDict("state=any")).filter(ref__in=list(shown))
    return rows, shown, _("Chosen cases"), back


def seen_of(form: ChosenForm, found: Sequence[Any], shown: dict[str, str]) -> dict[str, Any]:
    """What of the chosen cases was seen, as verbs of many take it: the place of each, or when all of them were shown. Raises
    :class:`InvalidInput` for a form that does not say."""
    if not form.cleaned_data["every"]:
        if not all(shown.values()):
            raise InvalidInput(_("The list does not say what you saw; load it again."))
        return {"seen": {case.pk: shown[case.ref] for case in found}}
    try:
        instant = datetime.fromisoformat(signing.loads(form.cleaned_data["shown"], salt=SHOWN_AT))
    except signing.BadSignature as error:
        raise InvalidInput(_("The list does not say what you saw; load it again.")) from error
    return {"seen": dict.fromkeys([case.pk for case in found]), "since": instant}


@require_POST
@screen("exception.fix")
def assign(request: ConsoleRequest) -> HttpResponse:
    """Give the chosen cases to a person or into a role's queue; what was moved since it was shown is told and left alone."""
    form = AssignForm(request.POST)
    if not form.is_valid():
        raise InvalidInput(_("Choose cases, and who gets them."))
    rows, shown, _words, back = chosen_of(request, form)
    chosen = form.cleaned_data["to"]
    queue = chosen.removeprefix("role:") if chosen.startswith("role:") else ""
    found = list(rows.prefetch_related(None)[: triage_services.MOST_ASSIGNED + 1])
    answer = triage_services.cases_assign(
        **seen_of(form, found, shown),
        to=_person(request, chosen),
        queue=queue,
        by=request.user,
        note=form.cleaned_data["note"],
    )
    if answer.done:
        text = ngettext("%(n)d case assigned.", "%(n)d cases assigned.", len(answer.done)) % {
            "n": len(answer.done)
        }
        messages.success(request, text, extra_tags=answer.undo)
    say_skipped(request, answer.skipped)
    return redirect(back or "console:exceptions")


def say_skipped(request: ConsoleRequest, skipped: Sequence[tuple[str, str]]) -> None:
    """The first with their reasons, and how many more."""
    for ref, why in skipped[:SAID]:
        messages.warning(request, f"{ref}: {why}")
    if len(skipped) > SAID:
        rest = len(skipped) - SAID
        text = ngettext("%(n)d further case was skipped.", "%(n)d further cases were skipped.", rest)
        messages.warning(request, text % {"n": rest})


def _person(request: ConsoleRequest, chosen: str) -> Any:
    if not chosen or chosen.startswith("role:"):
        return None
    if chosen == "me":
        return request.user
    person = organization.person(int(chosen))
    if person is None:
        raise InvalidInput(_("There is no such person."))
    return person
