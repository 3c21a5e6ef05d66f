"""The preview of a fix: frozen when it is asked for, planned in short steps, run at most once.

Inner module of the room; outsiders use :func:`apps.triage.services.fix_preview`. Planning reads systems, so a step holds no
database transaction; what it found is kept before the next one, and nothing of it is known to the browser alone.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from datetime import timedelta
from typing import Any

from django.db import transaction
from django.db.models import Exists, OuterRef
from django.utils.translation import gettext as _

from apps.core import clock
from apps.core.errors import Stale
from apps.governance.selectors import ProposedMapping
from apps.sync import selectors as transactions
from apps.sync import services as sync
from apps.triage.errors import PreviewExpired
from apps.triage.fixing import fixable
from apps.triage.models import Case, CaseState, FixPreview, FixPreviewRow
from apps.triage.words import doubt_words

#: A request plans for about so long; small groups are done in the first.
STEP_SECONDS = 2.0
#: Counted from the last step, so that planning itself cannot outlive it.
LIFETIME = timedelta(seconds=sync.TOKEN_MAX_AGE)
_AT_ONCE = 500


#: Rows of previews that were run and wait for a second person: what was shown is what shall run, however long that takes.
_waiting = FixPreviewRow.objects.filter(
    preview=OuterRef("pk"), preview__used_at__isnull=False, case__state=CaseState.AWAITING_APPROVAL
)


def freeze(*, case: Case, target: str, by: Any) -> FixPreview:
    """A new preview of what a fix may touch now. Raises :class:`Stale` when that is nothing. Drops what has expired."""
    now = clock.now()
    with transaction.atomic():
        FixPreview.objects.filter(expires_at__lt=now).exclude(Exists(_waiting)).delete()
        found = list(fixable(case, by).values_list("id", "transaction_id", "currency", "held_amount"))
        if not found:
            raise Stale(
                _(
                    "Every open case of this cause is being fixed or closed meanwhile; nothing is left to preview."
                )
            )
        preview = FixPreview.objects.create(
            by=by, group_id=case.group_id, target=target, created_at=now, expires_at=now + LIFETIME
        )
        rows = [
            FixPreviewRow(
                preview=preview,
                case_id=case_id,
                transaction_id=transaction_id,
                currency=currency,
                held_amount=held,
            )
            for case_id, transaction_id, currency, held in found
        ]
        FixPreviewRow.objects.bulk_create(rows, batch_size=1000)
    return preview


def advance(preview: FixPreview, proposed: ProposedMapping) -> None:
    """Plan the next rows for about :data:`STEP_SECONDS`. Two at once do the same work twice and no harm."""
    if preview.ready_at is not None:
        return
    waiting = {row.transaction_id: row for row in preview.rows.filter(outcome="").order_by("id")[:_AT_ONCE]}
    planned, doubts = [], transactions.in_doubt(waiting.keys())
    for transaction_id, steps in doubts.items():
        row = waiting.pop(transaction_id)
        row.outcome, row.reason = "unreachable", doubt_words(steps)
        planned.append(row)
    results = sync.preview_some(transaction_ids=list(waiting), overlay=[proposed], seconds=STEP_SECONDS)
    for result in results:
        row = waiting[result["transaction_id"]]
        row.outcome, row.digest, row.reason = result["outcome"], result["digest"], result["reason"]
        planned.append(row)
    FixPreviewRow.objects.bulk_update(planned, ["outcome", "digest", "reason"], batch_size=250)
    now = clock.now()
    preview.steps += 1
    preview.expires_at = now + LIFETIME
    preview.ready_at = None if preview.rows.filter(outcome="").exists() else now
    preview.save(update_fields=["steps", "expires_at", "ready_at"])


def read(token: str, *, case: Case, target: str, by: Any, lock: bool = False) -> FixPreview:
    """The preview of this person, group and target that ``token`` names. Raises :class:`PreviewExpired`."""
    rows = FixPreview.objects.select_for_update() if lock else FixPreview.objects.all()
    try:
        preview = rows.filter(key=uuid.UUID(token)).first()
    except ValueError:
        preview = None
    if preview is None or preview.expires_at <= clock.now():
        raise PreviewExpired(_("The preview is too old or was altered; look at a fresh one."))
    if (preview.by_id, preview.group_id, preview.target) != (by.pk, case.group_id, target):
        raise PreviewExpired(_("The preview was for another fix or another person; look at a fresh one."))
    if preview.used_at is not None:
        raise PreviewExpired(_("This preview has been run already; look at a fresh one."))
    return preview


def take(token: str, *, case: Case, target: str, by: Any) -> FixPreview:
    """:func:`read` for the run, once and only when everything has been planned; inside the run's database transaction."""
    preview = read(token, case=case, target=target, by=by, lock=True)
    if preview.ready_at is None:
        raise PreviewExpired(_("The preview is not complete yet; wait until every case has been planned."))
    preview.used_at = clock.now()
    preview.save(update_fields=["used_at"])
    return preview


def ran(cases: Iterable[Case]) -> dict[int, tuple[int, str]]:
    """Transaction and digest of each case as the preview showed it that was run for it last; absent where none is kept."""
    rows = FixPreviewRow.objects.filter(case__in=[case.pk for case in cases], preview__used_at__isnull=False)
    last = rows.order_by("case_id", "-preview__used_at", "-id").distinct("case_id")
    return {
        case_id: (transaction_id, digest)
        for case_id, transaction_id, digest in last.values_list("case_id", "transaction_id", "digest")
    }
