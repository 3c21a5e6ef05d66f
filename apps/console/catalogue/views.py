"""The catalogue: every code, what it means, who acts, whether it is detected; its help text in the firm's own words."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.http import urlencode
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_POST

from apps.console.access import ConsoleRequest, screen
from apps.console.catalogue.forms import CatalogueFilter, HelpForm
from apps.console.catalogue.presenters import code_page, lines_of
from apps.console.pages import show
from apps.core.errors import InvalidInput, NotFound, Stale
from apps.organization import selectors as organization
from apps.triage.catalogue import CATALOGUE
from apps.triage.help import help_set

PAGE, CODE = "console/catalogue/page.html", "console/catalogue/code.html"


@require_GET
@screen("exception.view")
def index(request: ConsoleRequest) -> HttpResponse:
    """Every code, or those that fit the filter; no query but the person's own."""
    form = CatalogueFilter(request.GET)
    criteria = form.cleaned_data if form.is_valid() else {}
    lines = lines_of(criteria) if form.is_valid() else []
    context = {
        "lines": lines,
        "form": form,
        "filtered": any(criteria.values()) or not form.is_valid(),
        "detected": sum(1 for line in lines if line.detected),
        "all": len(CATALOGUE),
    }
    return show(request, PAGE, context, partials=("results",))


@require_GET
@screen("exception.view")
def code(request: ConsoleRequest, code: str) -> HttpResponse:
    """One code with its help texts."""
    return show(request, CODE, {"page": code_page(request, code)})


@require_POST
@screen("exception.view")
def set_help(request: ConsoleRequest, code: str) -> HttpResponse:
    """Save a help text; who was shown an older one is told what changed and keeps what they typed."""
    form = HelpForm(request.POST)
    if not form.is_valid():
        raise InvalidInput(_("A help text has at most 4,000 characters."), fields={"text": _("Too long.")})
    said = form.cleaned_data
    entity = organization.entity(said["entity"]) if said["entity"] else None
    if said["entity"] and (entity is None or not request.scope.allows(legal_entity_id=entity.pk)):
        raise NotFound(_("There is no such legal entity."))
    try:
        help_set(code=code, legal_entity=entity, text=said["text"], version=said["version"], by=request.user)
    except Stale as error:
        page = code_page(request, code, refused=(said["text"], error.message))
        return show(request, CODE, {"page": page}, status=error.status)
    messages.success(request, _("The help text is saved."))
    query = f"?{urlencode({'entity': entity.code})}" if entity else ""
    answer = redirect(reverse("console:catalogue-code", args=[code]) + query)
    answer.status_code = 303
    return answer
