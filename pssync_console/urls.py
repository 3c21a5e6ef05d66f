"""All addresses: the console at the root, the API, the webhook doors, log-in, break-glass admin and health."""

from django.contrib import admin
from django.urls import include, path

from pssync_console import health

urlpatterns = [
    path("hooks/", include("apps.api.urls_hooks")),
    path("livez", health.livez, name="livez"),
    path("readyz", health.readyz, name="readyz"),
    path("accounts/", include("allauth.urls")),
    path("admin/", admin.site.urls),
    path("api/", include("apps.api.urls")),
    path("", include("apps.console.urls")),
]
