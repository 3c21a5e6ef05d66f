"""Reads of the journal: an object's history, audit search, the state of inbox, outbox and due news.

Public surface: :func:`history`, :func:`audit_search`, :func:`inbox_dead`, :func:`inbox_rejects`, :func:`rejects_since`,
:func:`announced`, :func:`unheard`, :func:`hooks_waiting`, :func:`backlog`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from django.db.models import Q, QuerySet

from apps.core.keyset import bounded
from apps.core.scope import Scope
from apps.journal.models import Audit, Delivery, HookDue, Inbox, InboxReject, Outbox, Subscription


@dataclass(frozen=True)
class Backlog:
    """How much waits, for the Systems screen and metrics; each count stops at 1,001."""

    inbox: int
    inbox_dead: int
    outbox: int
    outbox_dead: int
    hooks: int


def history(object_type: str, object_ref: str, *, limit: int = 200) -> list[Audit]:
    """What happened to one object, newest first. The caller has checked that the object may be seen."""
    rows = Audit.objects.filter(object_type=object_type, object_ref=str(object_ref))
    return list(rows.order_by("-at", "-id")[:limit])


def audit_search(
    *,
    scope: Scope,
    verb: str = "",
    object_type: str = "",
    object_ref: str = "",
    actor_id: int | None = None,
    engagement_key: str = "",
    correlation_id: str = "",
    since: datetime | None = None,
    until: datetime | None = None,
    before: tuple[datetime, int] | None = None,
    limit: int = 50,
) -> list[Audit]:
    """Audit rows in scope, newest first; ``verb`` is a prefix, ``[since, until)`` half-open.

    Pages by key: pass the last row's ``(at, id)`` as ``before`` for the next page.
    """
    rows: QuerySet[Audit] = Audit.objects.within(scope)
    exact = {
        "object_type": object_type,
        "object_ref": object_ref,
        "engagement_key": engagement_key,
        "correlation_id": correlation_id,
    }
    rows = rows.filter(**{name: value for name, value in exact.items() if value})
    if verb:
        rows = rows.filter(verb__startswith=verb)
    if actor_id is not None:
        rows = rows.filter(actor_id=actor_id)
    if since is not None:
        rows = rows.filter(at__gte=since)
    if until is not None:
        rows = rows.filter(at__lt=until)
    if before is not None:
        at, row_id = before
        rows = rows.filter(at__lte=at).filter(Q(at__lt=at) | Q(id__lt=row_id))
    return list(rows.order_by("-at", "-id")[:limit])


def inbox_dead(*, limit: int = 50) -> list[Inbox]:
    """Events that spent their attempts, newest first."""
    return list(Inbox.objects.filter(dead_at__isnull=False).order_by("-dead_at")[:limit])


def inbox_rejects(*, source: str = "", limit: int = 50) -> list[InboxReject]:
    """Refused events, newest first."""
    rows = InboxReject.objects.order_by("-id")
    return list((rows.filter(source=source) if source else rows)[:limit])


def rejects_since(*, source: str, reasons: Sequence[str], since: datetime) -> int:
    """How many events of a source were refused for one of these reasons; the count stops at 1,001."""
    return bounded(InboxReject.objects.filter(source=source, reason__in=list(reasons), created_at__gte=since))


def unheard(*, since: datetime) -> list[tuple[str, str]]:
    """Receivers of announcements, by name, that were switched off by their own answer or for which deliveries were given up
    since then, with the reason."""
    found = {
        row.name: row.disabled_reason
        for row in Subscription.objects.filter(active=False).exclude(disabled_reason="")
    }
    given_up = Delivery.objects.filter(dead_at__gte=since, subscription__active=True).order_by("dead_at")
    found |= dict(given_up.values_list("subscription__name", "last_error"))
    return sorted(found.items())


def announced(*, subject: str = "", type: str = "", limit: int = 50) -> Sequence[Outbox]:
    """What was announced, newest first; ``type`` is a prefix."""
    rows = Outbox.objects.order_by("-id")
    if subject:
        rows = rows.filter(subject=subject)
    if type:
        rows = rows.filter(type__startswith=type)
    return list(rows[:limit])


def subscription(*, name: str) -> Subscription | None:
    """A receiver of announcements by its name."""
    return Subscription.objects.filter(name=name).first()


def hooks_waiting(*, limit: int = 50) -> list[HookDue]:
    """News not yet taken by its receiver, oldest first."""
    return list(HookDue.objects.filter(done_at=None).order_by("id")[:limit])


def backlog() -> Backlog:
    """What waits now."""
    pending = Inbox.objects.filter(done_at=None, dead_at=None)
    return Backlog(
        inbox=bounded(pending),
        inbox_dead=bounded(Inbox.objects.filter(dead_at__isnull=False)),
        outbox=bounded(Delivery.objects.filter(delivered_at=None, dead_at=None)),
        outbox_dead=bounded(Delivery.objects.filter(dead_at__isnull=False)),
        hooks=bounded(HookDue.objects.filter(done_at=None)),
    )
