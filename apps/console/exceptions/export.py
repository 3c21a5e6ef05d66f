"""The cases that the list shows as a file for a spreadsheet.

Public surface: :func:`export`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.http import HttpResponse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET

from apps.console.access import ConsoleRequest, screen
from apps.console.exceptions.board import cases_of, role_words, scope_words
from apps.core import clock, sheets
from apps.core.errors import InvalidInput, NotFound
from apps.journal import services as journal
from apps.triage.catalogue import entry

#: Most cases of one file; whoever needs more narrows the filter or asks the API.
MOST = 10_000
_XLSX = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"


@require_GET
@screen("exception.view")
def export(request: ConsoleRequest, kind: str) -> HttpResponse:
    """What the filters of the address match, within the reader's scope; that it was taken out leaves an audit row."""
    if kind not in ("csv", "xlsx"):
        raise NotFound(_("There is no such file."))
    found = cases_of(request, request.GET).prefetch_related(None)
    rows = list(found[: MOST + 1])
    if len(rows) > MOST:
        raise InvalidInput(
            _("A file takes at most %(most)s cases; narrow the filter.") % {"most": f"{MOST:,}"}
        )
    journal.record(
        verb="cases.exported",
        object_type="case",
        object_ref=kind,
        by=request.user,
        legal_entity_id=None,
        new={"cases": len(rows), "filter": scope_words(request.GET), "query": request.GET.urlencode()[:500]},
    )
    name = f"exceptions-{clock.now():%Y-%m-%d}.{kind}"
    if kind == "csv":
        content, media = "".join(sheets.csv_lines(_head(), _lines(rows))).encode(), "text/csv; charset=utf-8"
    else:
        content, media = sheets.xlsx(_head(), _lines(rows), title=_("Exceptions")), _XLSX
    answer = HttpResponse(content, content_type=media)
    answer["Content-Disposition"] = f'attachment; filename="{name}"'
    return answer


def _head() -> list[str]:
    return [
        _("Case"), _("State"), _("Code"), _("Problem"), _("Stops"), _("Reason"), _("Deal"), _("Client"), _("Legal entity"),
        _("Engagement"), _("Currency"), _("Billing held"), _("Opened (UTC)"), _("Due (UTC)"), _("Assigned to"),
        _("Who must act"), _("Transaction"), _("Times reopened"),
    ]  # fmt: skip


def _lines(rows: list[Any]) -> Iterator[list[Any]]:
    """An amount that nobody knows is an empty cell, never 0."""
    for case in rows:
        told = entry(case.code)
        yield [
            case.ref, case.get_state_display(), case.code, told.title, case.get_severity_display(), case.reason,
            case.label or case.subject_key, case.customer_name, case.legal_entity.code if case.legal_entity else "",
            case.engagement_key, case.currency, case.held_amount, case.opened_at, case.due_at,
            case.assignee.display_name if case.assignee else "", role_words(told.resolvers), case.transaction_ref,
            case.reopened,
        ]  # fmt: skip
