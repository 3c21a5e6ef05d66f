"""``/api/``: the versioned REST API and its schema; anything else is a problem document."""

from django.http import HttpRequest, JsonResponse
from django.urls import include, path, re_path
from django.utils.translation import gettext as _
from django.views.decorators.csrf import csrf_exempt

from apps.api.problems import problem
from apps.api.schema import Schema

app_name = "api"


@csrf_exempt
def nothing_here(request: HttpRequest) -> JsonResponse:
    return problem(404, type="not-found", title=_("Not found"), detail=_("There is nothing at this address."))


urlpatterns = [
    path("schema", Schema.as_view(), name="schema"),
    path("v1/deals/", include("apps.api.deals.urls")),
    re_path(r"", nothing_here),
]
