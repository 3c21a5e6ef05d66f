"""Engagements: where is this deal between signature and cash."""

from __future__ import annotations

from django.http import HttpResponse
from django.views.decorators.http import require_GET

from apps.commercial import selectors as commercial
from apps.commercial.filters import EngagementFilter
from apps.console.access import ConsoleRequest, screen
from apps.console.engagements.presenters import engagement_page, rows_of
from apps.console.pages import page_of, show
from apps.organization import selectors as organization

PAGE = "console/engagements/page.html"
DETAIL = "console/engagements/detail.html"


@require_GET
@screen("engagement.view")
def index(request: ConsoleRequest) -> HttpResponse:
    """All engagements of the scope with what is held on each."""
    filters = EngagementFilter(request.GET, queryset=commercial.engagements(request.scope))
    page = page_of(request, filters.qs)
    context = {
        "page_obj": page,
        "rows": rows_of(page.object_list),
        "filters": filters,
        "filtered": any(request.GET.get(name) for name in ("q", "state", "billing_model", "entity")),
        "entities": organization.entities(scope=request.scope),
    }
    return show(request, PAGE, context, partials=("results",))


@require_GET
@screen("engagement.view")
def detail(request: ConsoleRequest, key: str) -> HttpResponse:
    """One time line over all systems, readiness, holds, invoices, links."""
    return show(request, DETAIL, {"page": engagement_page(request, key)})
