"""Keys of programs: hashed, scoped to verbs, optionally to one legal entity, expiring, revocable.

Public surface: :func:`api_key_create`, :func:`api_key_authenticate`, :func:`api_key_revoke`, :data:`KEY_VERBS`.
A program never approves: only the verbs of :data:`KEY_VERBS` can be given to a key.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import cast

from django.db import transaction
from django.utils.translation import gettext as _

from apps.core import clock
from apps.core.errors import InvalidInput
from apps.journal import services as journal
from apps.organization.models import ApiKey, LegalEntity, User

KEY_VERBS = frozenset({"deal.validate"})


def api_key_create(
    *,
    name: str,
    scopes: Sequence[str],
    legal_entity: LegalEntity | None = None,
    expires_at: dt.datetime | None = None,
    by: User | None = None,
) -> tuple[ApiKey, str]:
    """Mint a key; returns its row and the key itself, which is shown once."""
    wrong = sorted(set(scopes) - KEY_VERBS)
    if wrong or not scopes:
        raise InvalidInput(_("A key may be given: %(verbs)s.") % {"verbs": ", ".join(sorted(KEY_VERBS))})
    with transaction.atomic():
        created, secret = ApiKey.objects.create_key(
            name=name,
            scopes=sorted(set(scopes)),
            legal_entity=legal_entity,
            expiry_date=expires_at,
            created_by=by,
        )
        key = cast(ApiKey, created)
        _audit("api_key.created", key, by, new={"name": name, "scopes": key.scopes, "expires_at": expires_at})
    return key, secret


def api_key_authenticate(secret: str) -> ApiKey | None:
    """The live key of this text, or None (unknown, wrong, revoked, expired: never told apart)."""
    # A NUL would reach the database as an error rather than as "no such key".
    if not secret.isprintable() or len(secret) > 200:
        return None
    try:
        key = cast(ApiKey, ApiKey.objects.get_from_key(secret))
    except ApiKey.DoesNotExist:
        return None
    if key.expiry_date is not None and key.expiry_date <= clock.now():
        return None
    return key


def api_key_revoke(*, key: ApiKey, by: User | None = None, why: str = "") -> bool:
    """Revoke at once and for good; False when it already was."""
    with transaction.atomic():
        changed = ApiKey.objects.filter(pk=key.pk, revoked=False).update(revoked=True)
        if changed:
            _audit("api_key.revoked", key, by, why=why)
    return bool(changed)


def _audit(verb: str, key: ApiKey, by: User | None, **values) -> None:
    journal.record(
        verb=verb,
        object_type="api_key",
        object_ref=key.prefix,
        by=by,
        legal_entity_id=key.legal_entity_id,
        **values,
    )
