"""Prebill: what goes on this invoice; the project manager signs, then finance."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpResponse
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_POST

from apps.billing import selectors as billing
from apps.billing import services as billing_services
from apps.billing.filters import PrebillFilter
from apps.console.access import ConsoleRequest, screen
from apps.console.pages import back_to, page_of, show
from apps.console.prebills.forms import ApproveForm, ReasonForm
from apps.console.prebills.presenters import page_of_prebill
from apps.core.errors import InvalidInput
from apps.organization import selectors as organization

PAGE = "console/prebills/page.html"
DETAIL = "console/prebills/detail.html"


@require_GET
@screen("prebill.view")
def index(request: ConsoleRequest) -> HttpResponse:
    """What awaits me first, then all prebills by filter."""
    filters = PrebillFilter(request.GET, queryset=billing.prebills(request.scope), request=request)
    context = {
        "page_obj": page_of(request, filters.qs),
        "awaiting": list(billing.prebills_awaiting(request.user)),
        "filters": filters,
        "filtered": any(request.GET.get(name) for name in ("q", "state", "entity", "mine")),
        "entities": organization.entities(scope=request.scope),
    }
    return show(request, PAGE, context, partials=("results",))


@require_GET
@screen("prebill.view")
def detail(request: ConsoleRequest, ref: str) -> HttpResponse:
    """Lines with their source, totals, who has signed, what holds it."""
    return show(request, DETAIL, {"page": page_of_prebill(request, ref)})


@require_POST
@screen("prebill.view")
def approve(request: ConsoleRequest, ref: str) -> HttpResponse:
    """Sign the lines as they were shown."""
    row = billing.prebill(ref, scope=request.scope)
    form = ApproveForm(request.POST)
    if not form.is_valid():
        raise InvalidInput(_("The page was incomplete; load it again."))
    after = billing_services.prebill_approve(prebill=row, by=request.user, **form.cleaned_data)
    if after.state == "approved":
        messages.success(request, _("%(ref)s is approved and will be posted.") % {"ref": ref})
    else:
        messages.success(request, _("%(ref)s is signed and now waits for finance.") % {"ref": ref})
    return back_to(request, reverse("console:prebill", args=[ref]))


@require_POST
@screen("prebill.view")
def send_back(request: ConsoleRequest, ref: str) -> HttpResponse:
    """Return it to its preparer, with the reason."""
    row = billing.prebill(ref, scope=request.scope)
    reason = _reason(request, _("Say why it is sent back."))
    billing_services.prebill_send_back(prebill=row, by=request.user, reason=reason)
    messages.success(request, _("%(ref)s was sent back.") % {"ref": ref})
    return back_to(request, reverse("console:prebill", args=[ref]))


@require_POST
@screen("prebill.view")
def submit(request: ConsoleRequest, ref: str) -> HttpResponse:
    """Hand one that was sent back to its reviewers again."""
    row = billing.prebill(ref, scope=request.scope)
    comment = _reason(request, _("Say what was done about the reason it was sent back."))
    billing_services.prebill_submit(prebill=row, by=request.user, comment=comment)
    messages.success(request, _("%(ref)s waits for the project manager again.") % {"ref": ref})
    return back_to(request, reverse("console:prebill", args=[ref]))


def _reason(request: ConsoleRequest, sentence: str) -> str:
    form = ReasonForm(request.POST)
    if not form.is_valid():
        raise InvalidInput(sentence, fields={"reason": sentence})
    return form.cleaned_data["reason"]
