"""Home: what needs me, what is at risk today."""

from __future__ import annotations

from django.http import HttpResponse
from django.views.decorators.http import require_GET

from apps.console import freshness
from apps.console.access import ConsoleRequest, screen
from apps.console.home.presenters import home_page
from apps.console.pages import show


@require_GET
@screen()
def index(request: ConsoleRequest) -> HttpResponse:
    """Everybody who is signed in has a home; its parts show what their verbs allow."""
    fresh = freshness.stamp()
    return show(
        request, "console/home/page.html", {"page": home_page(request), "fresh": fresh}, partials=("home",)
    )
