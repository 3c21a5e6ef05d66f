"""Keep an address under a name, and forget it again."""

from __future__ import annotations

from django import forms
from django.contrib import messages
from django.http import HttpResponse, QueryDict
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST

from apps.console.access import ConsoleRequest, permissions, screen
from apps.console.pages import back_to
from apps.console.savedviews.presenters import SCREENS, kept_query
from apps.core.errors import InvalidInput, NotAllowed
from apps.core.scope import NOTHING
from apps.organization import savedviews
from apps.organization.permissions import Audience


class ViewForm(forms.Form):
    """``query`` is the address's query string; only what the screen filters by is kept of it."""

    screen = forms.ChoiceField(choices=[(name, name) for name in SCREENS])
    name = forms.CharField(max_length=80)
    query = forms.CharField(max_length=2000)
    audience = forms.ChoiceField(choices=Audience.choices)
    role = forms.CharField(max_length=30, required=False)
    default = forms.BooleanField(required=False)


@require_POST
@screen("exception.view")
def save(request: ConsoleRequest) -> HttpResponse:
    """Save the present filters; the same name again replaces the view."""
    form = ViewForm(request.POST)
    if not form.is_valid():
        raise InvalidInput(_("Set a filter first and give the view a name."))
    given = form.cleaned_data
    place = SCREENS[given["screen"]]
    if permissions(request).scope(place.verb) == NOTHING:
        raise NotAllowed(_("You may not open this screen."))
    view = savedviews.view_save(
        owner=request.user,
        screen=given["screen"],
        name=given["name"],
        query=kept_query(given["screen"], QueryDict(given["query"])),
        audience=given["audience"],
        role=given["role"],
        default=given["default"],
    )
    messages.success(request, _("“%(name)s” is saved.") % {"name": view.name})
    return redirect(f"{reverse(place.url_name)}?{view.query}")


@require_POST
@screen("exception.view")
def delete(request: ConsoleRequest, view_id: int) -> HttpResponse:
    """Forget one's own view."""
    savedviews.view_delete(owner=request.user, view_id=view_id)
    messages.success(request, _("The view is deleted."))
    return back_to(request, reverse("console:home"))
