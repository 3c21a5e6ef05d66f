"""Addresses of the console, one module a screen."""

from __future__ import annotations

from apps.console.audit.urls import urlpatterns as audit
from apps.console.catalogue.urls import urlpatterns as catalogue
from apps.console.engagements.urls import urlpatterns as engagements
from apps.console.exceptions.urls import urlpatterns as exceptions
from apps.console.home.urls import urlpatterns as home
from apps.console.jobs.urls import urlpatterns as jobs
from apps.console.mappings.urls import urlpatterns as mappings
from apps.console.prebills.urls import urlpatterns as prebills
from apps.console.savedviews.urls import urlpatterns as savedviews
from apps.console.transactions.urls import urlpatterns as transactions

app_name = "console"

urlpatterns = [
    *home,
    *exceptions,
    *jobs,
    *transactions,
    *engagements,
    *prebills,
    *mappings,
    *catalogue,
    *savedviews,
    *audit,
]
