"""The review list: new mappings wait here for a second person (segregation of duties)."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpResponse
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_POST

from apps.approvals import selectors as approvals
from apps.approvals import services as approval_services
from apps.console.access import ConsoleRequest, screen
from apps.console.mappings.forms import DecisionForm
from apps.console.mappings.presenters import nothing_waits, review_lines
from apps.console.pages import back_to, show
from apps.core.errors import InvalidInput, NotFound
from apps.governance import selectors as governance

PAGE = "console/mappings/page.html"


@require_GET
@screen("mapping.view")
def index(request: ConsoleRequest) -> HttpResponse:
    """What waits for confirmation, largest exposure first."""
    lines = review_lines(request)
    context = {"lines": lines, "nothing": "" if lines else nothing_waits(request)}
    return show(request, PAGE, context, partials=("review",))


@require_POST
@screen("mapping.view")
def decide(request: ConsoleRequest, mapping_id: int) -> HttpResponse:
    """Confirm or reject one mapping as it was shown."""
    mapping = governance.mapping(mapping_id=mapping_id, scope=request.scope)
    form = DecisionForm(request.POST)
    if not form.is_valid():
        raise InvalidInput(_("Say whether the mapping is confirmed or rejected."))
    asked = approvals.open_request("mapping", str(mapping.pk))
    if asked is None:
        raise NotFound(_("This mapping no longer waits for anybody."))
    approval_services.decide(
        request=asked,
        by=request.user,
        decision=form.cleaned_data["decision"],
        digest=form.cleaned_data["digest"],
        comment=form.cleaned_data["comment"],
    )
    said = _("confirmed") if form.cleaned_data["decision"] == "approve" else _("rejected")
    messages.success(request, _("%(source)s is %(said)s.") % {"source": mapping.source, "said": said})
    return back_to(request, reverse("console:mappings"))
