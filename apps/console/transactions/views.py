"""Transactions: did it go through, how long did each step take, and run it again."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_POST

from apps.console import freshness
from apps.console.access import ConsoleRequest, Permission, permitted, screen
from apps.console.pages import back_to, keyed_page_of, show, with_count
from apps.console.transactions import presenters
from apps.journal import services as journal
from apps.organization import selectors as organization
from apps.sync import selectors as sync
from apps.sync import services as engine
from apps.sync.filters import GROUPS, TransactionFilter

PAGE = "console/transactions/page.html"
DETAIL = "console/transactions/detail.html"
FILTERS = ("q", "state", "flow", "legal_entity")


@require_GET
@screen("transaction.view")
def index(request: ConsoleRequest) -> HttpResponse:
    """The list: search by reference, business key or correlation id; state, flow and entity."""
    fresh = freshness.stamp()
    rows = sync.transactions(request.scope)
    filtered = any(request.GET.get(name) for name in FILTERS)
    chosen: dict[str, Any] = {}
    if filtered:
        filters = TransactionFilter(request.GET, queryset=rows)
        filters.form.is_valid()  # what is no choice is left out, here as in the rows
        chosen, rows = filters.form.cleaned_data, filters.qs
    entity = chosen.get("legal_entity")
    facets = sync.facets(
        request.scope,
        state=chosen.get("state") or "",
        flow=chosen.get("flow") or "",
        legal_entity_id=entity.pk if entity else None,
    )
    total = None if chosen.get("q") else facets.total
    context = {
        "fresh": fresh,
        "page_obj": keyed_page_of(request, sync.listed(rows), total=total),
        "filtered": filtered,
        "states": [(value, with_count(label, facets.states.get(value, 0))) for value, label in GROUPS],
        "entities": [
            (str(pk), with_count(code, facets.entities.get(pk, 0)))
            for pk, code in organization.entity_choices(request.scope)
        ],
        "flows": [
            (value, with_count(label, facets.flows.get(value, 0)))
            for value, label in presenters.FLOW_LABELS.items()
        ],
    }
    return show(request, PAGE, context, partials=("results",))


@require_GET
@screen("transaction.view")
def detail(request: ConsoleRequest, ref: str) -> HttpResponse:
    """One transaction: its steps on a time axis, what is still planned, attempts and keys."""
    row = sync.transaction_detail(request.scope, ref)
    drawn = presenters.bars(row)
    context = {
        "transaction": row,
        "flow": presenters.flow_label(row.flow),
        "bars": drawn,
        "planned": presenters.planned(row, drawn),
        "plan": sync.last_plan(row),
        "may_replay": _may(request, "transaction.replay", row),
        "may_reveal": _may(request, "payload.reveal", row),
        "moving": row.state in ("pending", "running", "retrying", "waiting"),
    }
    return show(request, DETAIL, context, partials=("progress",))


@require_GET
@screen("transaction.replay")
def preview(request: ConsoleRequest, ref: str) -> HttpResponse:
    """What running it again would do, planned now; nothing is stored."""
    row = sync.transaction_detail(request.scope, ref)
    answer = engine.preview(transaction_ids=[row.pk])
    context = {"transaction": row, "preview": presenters.preview_of(answer)}
    return show(request, "console/transactions/preview.html", context, partials=("preview",))


@require_POST
@screen("transaction.replay")
def run(request: ConsoleRequest, ref: str) -> HttpResponse:
    """Run again exactly what was previewed; refused as stale when the plan is another one by now."""
    row = sync.transaction_detail(request.scope, ref)
    tokens = engine.read_token(request.POST.get("token", ""))
    answer = engine.replay(transaction_ids=[row.pk], by=request.user, tokens=tokens)
    for skipped in answer["skipped"]:
        messages.warning(request, f"{skipped['ref']}: {skipped['reason']}")
    if answer["replayed"]:
        messages.success(request, _("%(ref)s runs again.") % {"ref": row.ref})
    return back_to(request, reverse("console:transaction", args=[row.ref]))


@require_GET
@screen("payload.reveal")
def payload(request: ConsoleRequest, ref: str, attempt_id: int) -> HttpResponse:
    """Request and answer of one attempt; secrets were redacted before they were stored. Looking leaves an audit row."""
    row = sync.transaction_detail(request.scope, ref)
    exchange = sync.payload(row, attempt_id)
    journal.record(
        verb="payload.revealed",
        object_type="transaction",
        object_ref=row.ref,
        by=request.user,
        legal_entity_id=row.legal_entity_id,
        engagement_key=row.engagement_key,
        new={"attempt": attempt_id},
    )
    template = "console/transactions/payload.html" + ("#exchange" if request.htmx else "")
    return render(request, template, {"transaction": row, "exchange": exchange})


def _may(request: ConsoleRequest, verb: str, row: Any) -> Permission:
    return permitted(request, verb, legal_entity_id=row.legal_entity_id, engagement_key=row.engagement_key)
