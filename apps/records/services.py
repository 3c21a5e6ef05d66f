"""Writes of records: observe what a system shows, link ids, take links back.

Public surface: :func:`observe`, :func:`observe_gone`, :func:`link`, :func:`unlink`; for statements that
write many links :func:`links_from`, :func:`link_row`, :data:`LINK_COLUMNS`, :data:`LINK_IS_NEW`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django.core.serializers.json import DjangoJSONEncoder
from django.db import connection, transaction
from django.utils.translation import gettext as _

from apps.canonical.objects import Canonical
from apps.core import clock, statements
from apps.core.errors import NotFound
from apps.core.hooks import records_observed
from apps.journal import services as journal
from apps.records.errors import LinkConflict
from apps.records.models import CrossReference, LinkedBy

#: Older news never overwrites newer: the system's own clock decides, where both sides tell it.
_OBSERVE = """
INSERT INTO records_record AS held
    (system_id, object_type, external_id, key, legal_entity_id, engagement_key, body, facts, version, digest,
     former_digest, modified_at, observed_at, url, deleted, created_at)
VALUES (%(system_id)s, %(object_type)s, %(external_id)s, %(key)s, %(legal_entity_id)s, %(engagement_key)s,
        %(body)s::jsonb, %(facts)s::jsonb, %(version)s, %(digest)s, '', %(modified_at)s, %(now)s, %(url)s,
        false, %(now)s)
ON CONFLICT (system_id, object_type, external_id) DO UPDATE SET
    key = excluded.key,
    legal_entity_id = coalesce(excluded.legal_entity_id, held.legal_entity_id),
    engagement_key = coalesce(nullif(excluded.engagement_key, ''), held.engagement_key),
    body = excluded.body, facts = excluded.facts, version = excluded.version,
    former_digest = CASE WHEN held.deleted THEN '' ELSE held.digest END, digest = excluded.digest,
    modified_at = coalesce(excluded.modified_at, held.modified_at), observed_at = excluded.observed_at,
    url = coalesce(nullif(excluded.url, ''), held.url), deleted = false
WHERE held.modified_at IS NULL OR excluded.modified_at IS NULL OR excluded.modified_at >= held.modified_at
RETURNING former_digest <> digest, legal_entity_id, engagement_key
"""


def observe(
    *,
    system_id: int,
    object_type: str,
    external_id: str,
    body: Canonical,
    version: str = "",
    modified_at: datetime | None = None,
    url: str = "",
    facts: Mapping[str, Any] | None = None,
    key: str = "",
    legal_entity_id: int | None = None,
    engagement_key: str = "",
) -> bool:
    """Keep an object as a system shows it now; True if body or facts changed (or it is new).

    An observation whose ``modified_at`` is older than the kept one changes nothing. ``key`` defaults to the body's.
    Entity and engagement, once known, stay when a later observation does not say them. News go to
    ``records.observed``.
    """
    content = json.dumps(body.model_dump(mode="json"), sort_keys=True, ensure_ascii=False).replace(
        "\\u0000", ""
    )
    known = json.dumps(dict(facts or {}), cls=DjangoJSONEncoder, sort_keys=True).replace("\\u0000", "")
    key = key or str(getattr(body, "key", "")) or external_id
    parameters: dict[str, Any] = {
        "system_id": system_id,
        "object_type": object_type,
        "external_id": external_id,
        "key": key,
        "legal_entity_id": legal_entity_id,
        "engagement_key": engagement_key,
        "body": content,
        "facts": known,
        "version": version,
        "digest": hashlib.sha256(f"{content}\n{known}".encode()).hexdigest(),
        "modified_at": modified_at,
        "now": clock.now(),
        "url": url,
    }
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute(_OBSERVE, parameters)
            row = cursor.fetchone()
        if row is None or not row[0]:
            return False
        _announce(system_id, object_type, external_id, key, row[1], row[2])
    return True


def observe_gone(*, system_id: int, object_type: str, external_id: str, at: datetime | None = None) -> bool:
    """Note that a system no longer has the object; False when it is unknown, known gone, or seen newer than ``at``."""
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute(
                "UPDATE records_record SET deleted = true, observed_at = %(now)s,"
                " modified_at = coalesce(%(at)s, modified_at)"
                " WHERE system_id = %(system_id)s AND object_type = %(object_type)s AND external_id = %(external_id)s"
                " AND NOT deleted AND (%(at)s::timestamptz IS NULL OR modified_at IS NULL OR modified_at <= %(at)s)"
                " RETURNING key, legal_entity_id, engagement_key",
                {
                    "now": clock.now(),
                    "at": at,
                    "system_id": system_id,
                    "object_type": object_type,
                    "external_id": external_id,
                },
            )
            row = cursor.fetchone()
        if row is None:
            return False
        _announce(system_id, object_type, external_id, row[0], row[1], row[2])
    return True


def _announce(
    system_id: int,
    object_type: str,
    external_id: str,
    key: str,
    legal_entity_id: int | None,
    engagement_key: str,
) -> None:
    fact = {
        "system_id": system_id,
        "object_type": object_type,
        "external_id": external_id,
        "key": key,
        "legal_entity_id": legal_entity_id,
        "engagement_key": engagement_key,
    }
    records_observed.fire([fact])


def link(
    *,
    object_type: str,
    key: str,
    system_id: int,
    external_id: str,
    url: str = "",
    linked_by: str,
    evidence: Mapping[str, Any] | None = None,
    by: Any = None,
    legal_entity_id: int | None = None,
) -> CrossReference:
    """Say that our ``key`` is ``external_id`` in that system; the same link again is a no-op that may renew ``url``.

    Raises :class:`LinkConflict` when either side is linked to something else. Of two racing links one wins.
    """
    wanted: dict[str, Any] = {"object_type": object_type, "key": key, "system_id": system_id}
    given: dict[str, Any] = {
        "external_id": external_id,
        "url": url,
        "linked_by": linked_by,
        "evidence": dict(evidence or {}),
    }
    made = CrossReference(**wanted, **given, created_at=clock.now())
    text, values = _link_alone(**wanted, **given, by=by, legal_entity_id=legal_entity_id)
    # Waits for a racing transaction instead of failing ours.
    if written := statements.rows(f"WITH {text} SELECT id FROM linked", values):  # noqa: S608
        made.pk = written[0][0]
        return made
    held = CrossReference.objects.filter(**wanted).first()
    if held is None or held.external_id != external_id:
        raise _conflict(held, object_type, key, system_id, external_id)
    if url and held.url != url:
        CrossReference.objects.filter(pk=held.pk).update(url=url)
        held.url = url
    return held


#: Columns of :data:`LINK_COLUMNS` in ``given``; one order, so that two such statements never wait for each other crosswise.
_LINKS = """
linked AS (
    INSERT INTO records_crossreference (object_type, key, system_id, external_id, url, linked_by, evidence, created_at)
    SELECT link_type, link_key, link_system, link_id, link_url, link_by, link_evidence, at FROM {given}
    WHERE link_type IS NOT NULL ORDER BY link_type, link_key, link_system
    ON CONFLICT DO NOTHING RETURNING object_type, key, system_id, external_id, linked_by
)"""
LINK_COLUMNS = """
link_type text, link_key text, link_system bigint, link_id text, link_url text, link_by text, link_evidence jsonb"""
#: Whether the link of a row of ``given`` (called g) is new; to be joined from the left.
LINK_IS_NEW = """linked l
    ON (l.object_type, l.key, l.system_id, l.external_id) = (g.link_type, g.link_key, g.link_system, g.link_id)"""


def links_from(given: str) -> str:
    """The text of CTEs ``linked`` (the links that are new) and of their audit rows, for a statement that writes many: its CTE
    ``given`` has :data:`LINK_COLUMNS` (NULL: no link), ``at`` and ``correlation_id``."""
    audit = journal.recorded_from(
        f"{given} g JOIN {LINK_IS_NEW}",
        at="g.at",
        verb="'record.linked'",
        object_type="l.object_type",
        object_ref="left(l.key, 255)",
        correlation_id="g.correlation_id",
        new="jsonb_build_object('system_id', l.system_id, 'external_id', l.external_id, 'linked_by', l.linked_by)",
    )
    return f"{_LINKS.format(given=given)}, {audit}"


def link_row(
    *,
    object_type: str,
    key: str,
    system_id: int,
    external_id: str,
    url: str = "",
    linked_by: str,
    evidence: Mapping[str, Any],
) -> dict[str, Any]:
    """A link as the values of :data:`LINK_COLUMNS`."""
    return {
        "link_type": object_type,
        "link_key": key,
        "link_system": system_id,
        "link_id": external_id,
        "link_url": url,
        "link_by": LinkedBy(linked_by).value,
        "link_evidence": evidence,
    }


_LINK = """
linked AS (
    INSERT INTO records_crossreference (object_type, key, system_id, external_id, url, linked_by, evidence, created_at)
    SELECT %(link_type)s, %(link_key)s, %(link_system)s, %(link_id)s, %(link_url)s, %(link_by)s, %(link_evidence)s::jsonb,
        %(link_at)s::timestamptz ON CONFLICT DO NOTHING RETURNING id
)"""


def _link_alone(
    *,
    object_type: str,
    key: str,
    system_id: int,
    external_id: str,
    url: str = "",
    linked_by: str,
    evidence: Mapping[str, Any],
    by: Any = None,
    legal_entity_id: int | None = None,
) -> tuple[str, dict[str, Any]]:
    """The text of CTEs ``linked`` (one row if the link is new) and of its audit row, and their named parameters."""
    word = LinkedBy(linked_by).value
    audit, values = journal.recorded_with(
        "linked",
        verb="record.linked",
        object_type=object_type,
        object_ref=key,
        new={"system_id": system_id, "external_id": external_id, "linked_by": word},
        by=by,
        legal_entity_id=legal_entity_id,
    )
    values |= {
        "link_type": object_type,
        "link_key": key,
        "link_system": system_id,
        "link_id": external_id,
        "link_url": url,
        "link_by": word,
        "link_evidence": json.dumps(evidence, cls=DjangoJSONEncoder),
        "link_at": clock.now(),
    }
    return f"{_LINK}, {audit}", values


def unlink(
    *,
    object_type: str,
    key: str,
    system_id: int,
    by: Any = None,
    why: str = "",
    legal_entity_id: int | None = None,
) -> None:
    """Take a link back (the objects stay). Raises ``NotFound`` when there is none."""
    with transaction.atomic():
        held = (
            CrossReference.objects.select_for_update()
            .filter(object_type=object_type, key=key, system_id=system_id)
            .first()
        )
        if held is None:
            raise NotFound(_("%(key)s is not linked in this system.") % {"key": key})
        journal.record(
            verb="record.unlinked",
            object_type=object_type,
            object_ref=key,
            by=by,
            legal_entity_id=legal_entity_id,
            old={"system_id": system_id, "external_id": held.external_id, "linked_by": held.linked_by},
            why=why,
        )
        held.delete()


def _conflict(
    held: CrossReference | None, object_type: str, key: str, system_id: int, external_id: str
) -> LinkConflict:
    if held is None:
        held = CrossReference.objects.filter(
            system_id=system_id, object_type=object_type, external_id=external_id
        ).first()
    if held is None:
        # The link in the way was taken back between our two looks; the caller's retry will find it free.
        return LinkConflict(_("The link changed meanwhile; try again."), holds={})
    message = _("%(type)s %(held_key)s is linked to %(held_id)s, so %(key)s cannot be linked to %(id)s.") % {
        "type": object_type,
        "held_key": held.key,
        "held_id": held.external_id,
        "key": key,
        "id": external_id,
    }
    return LinkConflict(message, holds={"key": held.key, "external_id": held.external_id})
