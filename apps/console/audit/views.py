"""Audit: who did what, when, from what to what, and why."""

from __future__ import annotations

from django.http import HttpResponse
from django.views.decorators.http import require_GET

from apps.console.access import ConsoleRequest, screen
from apps.console.audit.forms import AuditFilter
from apps.console.pages import show
from apps.journal import selectors as journal

PAGE = "console/audit/page.html"
PER_PAGE = 100


@require_GET
@screen("audit.view")
def index(request: ConsoleRequest) -> HttpResponse:
    """Audit rows in scope, newest first; pages go by key, so that new rows never shift them."""
    form = AuditFilter(request.GET)
    criteria = form.criteria() if form.is_valid() else {}
    rows = (
        journal.audit_search(scope=request.scope, limit=PER_PAGE + 1, **criteria) if form.is_valid() else []
    )
    more = len(rows) > PER_PAGE
    rows = rows[:PER_PAGE]
    context = {
        "rows": rows,
        "form": form,
        "filtered": bool(set(criteria) - {"before"}),
        "next": f"{rows[-1].at.isoformat()}~{rows[-1].pk}" if more else "",
    }
    return show(request, PAGE, context, partials=("results",))
