"""Messages to people about cases whose deadline is near: owed in the database, sent by e-mail outside of any transaction.

Public surface: :func:`notices_send` (the sweeper's); inside the room :func:`owe`, :func:`round_ends`.

One round of escalation is one message a person, however many cases. What is to be sent is claimed by a lease and marked once
the mail server has taken it; a sender that dies in between sends it once more, with the same Message-ID. A server that
refuses is asked again, ever less often, for as long as there is something to tell.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Sequence
from datetime import timedelta
from smtplib import SMTPException
from typing import Any
from urllib.parse import urlsplit

import structlog
from django.conf import settings
from django.core.mail import EmailMessage
from django.db import connection, transaction
from django.db.models.functions import Now
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from apps.canonical.money import Money
from apps.organization import selectors as organization
from apps.triage.models import Case, Notice
from apps.triage.words import at_words

log = structlog.get_logger(__name__)
#: More cases than that are counted, not listed.
LISTED = 40
#: Whoever holds a message for longer has died. Longer than the mail server is waited for.
LEASE_SECONDS = settings.EMAIL_TIMEOUT * 4 + 30
#: A round that has not ended by then has died; what it wrote down is sent all the same.
ROUND_ENDS = timedelta(minutes=10)
#: Waits after each failed attempt, in seconds; the last one again and again.
WAITS = (30, 120, 600, 1800, 3600)
#: PostgreSQL's lock under which a message is put together, so that two senders never share the lines of one person.
_LOCK = 7_261_004
_CLAIM = """
WITH due AS (
    SELECT id, person_id, next_at FROM triage_notice WHERE sent_at IS NULL AND dropped = '' AND next_at <= clock_timestamp()
        AND (lease_until IS NULL OR lease_until < clock_timestamp()))
UPDATE triage_notice SET lease_until = clock_timestamp() + make_interval(secs => %s), attempts = attempts + 1
WHERE id IN (SELECT id FROM due WHERE person_id = (SELECT person_id FROM due ORDER BY next_at, id LIMIT 1))
RETURNING id
"""


def owe(lines: Iterable[tuple[int, Case, str]], this_round: uuid.UUID) -> None:
    """Write down whom to tell of which case (and the role that leads, "" for its holder), inside the transaction that
    escalates. Nothing where no mail server is configured."""
    if not settings.EMAIL_HOST:
        return
    rows = [
        Notice(person_id=person_id, case=case, role=role, round=this_round, created_at=Now())
        for person_id, case, role in lines
    ]
    Notice.objects.bulk_create(rows, ignore_conflicts=True, batch_size=1000)


def round_ends(this_round: uuid.UUID) -> None:
    """All of a round is written down: its messages may leave."""
    Notice.objects.filter(round=this_round, next_at=None).update(next_at=Now())


def notices_send(*, most: int = 200) -> int:
    """Send what is due, one message a person; returns how many the mail server has taken. Safe to run twice at once."""
    if not settings.EMAIL_HOST:
        return 0
    left = Notice.objects.filter(next_at=None, sent_at=None, created_at__lt=Now() - ROUND_ENDS)
    left.update(next_at=Now())
    sent = 0
    for _number in range(most):
        ids = _claim()
        if not ids:
            break
        sent += _send(ids)
    return sent


def _claim() -> list[int]:
    """All that is due of the person who has waited longest."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [_LOCK])
        cursor.execute(_CLAIM, [LEASE_SECONDS])
        return [row[0] for row in cursor.fetchall()]


def _send(ids: Sequence[int]) -> bool:
    rows = Notice.objects.filter(pk__in=ids).select_related("person", "case__legal_entity")
    lines = _still_true(list(rows.order_by("case__due_at", "case_id")))
    if not lines:
        return False
    kept = [line.pk for line in lines]
    try:
        _message(lines).send()
    except (SMTPException, OSError, ValueError) as error:  # ValueError: an address that is none
        wait = WAITS[min(lines[0].attempts, len(WAITS)) - 1]
        reason = f"{type(error).__name__}: {error}"[:300]
        again = {"next_at": Now() + timedelta(seconds=wait), "lease_until": None, "error": reason}
        Notice.objects.filter(pk__in=kept).update(**again)
        log.warning("notice_not_sent", person=lines[0].person_id, cases=len(kept), error=reason)
        return False
    Notice.objects.filter(pk__in=kept).update(sent_at=Now(), lease_until=None, error="")
    return True


def _still_true(lines: list[Notice]) -> list[Notice]:
    """What is still to be told to this person; the rest is dropped with the reason."""
    kept: list[Notice] = []
    dropped: dict[str, list[int]] = {}
    person = lines[0].person if lines else None
    scope = (
        organization.scope_of(person, "exception.view") if person is not None and person.is_active else None
    )
    for line in lines:
        case = line.case
        sees = scope is not None and scope.allows(
            legal_entity_id=case.legal_entity_id, engagement_key=case.engagement_key
        )
        if not sees:
            why = "The person may not see it."
        elif not line.person.email:
            why = "The person has no e-mail address."
        elif not case.is_open:
            why = "It is closed."
        elif case.assignee_id != (None if line.role else line.person_id):
            why = "Another holds it by now."
        else:
            kept.append(line)
            continue
        dropped.setdefault(why, []).append(line.pk)
    for why, part in dropped.items():
        Notice.objects.filter(pk__in=part).update(dropped=why, lease_until=None)
    once = {line.case_id: line for line in reversed(kept)}
    double = [line.pk for line in kept if once[line.case_id] is not line]
    Notice.objects.filter(pk__in=double).update(dropped="Told by another line.", lease_until=None)
    return [line for line in kept if once[line.case_id] is line]


def _message(lines: Sequence[Notice]) -> EmailMessage:
    person = lines[0].person
    count = len(lines)
    subject = ngettext(
        "%(n)d case is close to its invoice run", "%(n)d cases are close to their invoice run", count
    ) % {"n": count}
    parts = [subject + ".", *[_line(line.case, line.role) for line in lines[:LISTED]]]
    if count > LISTED:
        parts.append(_("And %(n)d more.") % {"n": count - LISTED})
    parts.append(f"{settings.PUBLIC_URL}/exceptions/?view=cases")
    host = urlsplit(settings.PUBLIC_URL).hostname
    # The same for the same lines: a server that got it twice can tell.
    name = uuid.uuid5(uuid.NAMESPACE_URL, ",".join(str(line.pk) for line in lines))
    return EmailMessage(
        subject=f"PS Sync Console: {subject}",
        body="\n\n".join(parts) + "\n",
        to=[person.email],
        headers={"Message-ID": f"<{name}@{host}>", "Auto-Submitted": "auto-generated"},
    )


def _line(case: Any, role: str) -> str:
    held = (
        f"{Money.of(case.held_amount, case.currency)}"
        if case.held_amount is not None
        else _("amount unknown")
    )
    who = _("Nobody holds it.") if role else _("It is assigned to you.")
    text = _("%(ref)s, due %(deadline)s, %(held)s: %(reason)s %(who)s") % {
        "ref": case.ref,
        "deadline": at_words(case.due_at, case.legal_entity),
        "held": held,
        "reason": case.reason,
        "who": who,
    }
    return f"{text}\n{settings.PUBLIC_URL}/exceptions/{case.ref}/"
