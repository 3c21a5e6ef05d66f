"""Health for load balancers and supervisors: ``/livez`` (the process answers) and ``/readyz`` (it can work).

The broker is shown but does not make the console unready: PostgreSQL keeps the work, the broker only rings.
"""

from __future__ import annotations

from django.db import DatabaseError, connection
from django.db.migrations.executor import MigrationExecutor
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe
from kombu.exceptions import OperationalError as BrokerError

from pssync_console.celery import app as celery_app


@never_cache
@require_safe
def livez(request: HttpRequest) -> HttpResponse:
    return HttpResponse("ok", content_type="text/plain")


@never_cache
@require_safe
def readyz(request: HttpRequest) -> JsonResponse:
    """200 when the database answers and is migrated, otherwise 503; each part says "ok" or what is wrong."""
    parts = {"database": _database(), "broker": _broker()}
    return JsonResponse(parts, status=200 if parts["database"] == "ok" else 503)


def _database() -> str:
    try:
        executor = MigrationExecutor(connection)
        pending = executor.migration_plan(executor.loader.graph.leaf_nodes())
    except DatabaseError:
        return "unreachable"
    return f"{len(pending)} migrations pending" if pending else "ok"


def _broker() -> str:
    try:
        with celery_app.connection_for_write(connect_timeout=1) as link:
            link.ensure_connection(max_retries=1, interval_start=0, timeout=2)
    except (BrokerError, OSError):
        return "unreachable"
    return "ok"
