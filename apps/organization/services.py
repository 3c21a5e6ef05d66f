"""Writes of the organization: people and their roles, entities, systems, routing, rates. Each leaves an audit row.

Public surface: :func:`user_create`, :func:`role_grant`, :func:`role_revoke`, :func:`grant_engagement`,
:func:`entity_set`, :func:`system_set`, :func:`routing_set`, :func:`rate_set`, :func:`closed_day_add`.
API keys are in :mod:`apps.organization.apikeys`.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, TypeVar

import pghistory
from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.db import IntegrityError, models, transaction
from django.utils.translation import gettext as _
from moneyed import CURRENCIES

from apps.canonical import taxids
from apps.core.errors import InvalidInput
from apps.journal import services as journal
from apps.organization.errors import RoleConflict
from apps.organization.models import ClosedDay, ExchangeRate, Grant, LegalEntity, Routing, System, User
from apps.organization.permissions import Role, conflict_between

_Row = TypeVar("_Row", bound=models.Model)


def user_create(
    *,
    username: str,
    email: str = "",
    password: str | None = None,
    first_name: str = "",
    last_name: str = "",
    job_title: str = "",
    timezone: str = "UTC",
    by: User | None = None,
) -> User:
    """Enter a person, without any role. Without a password nobody can log in until one is set."""
    user = User(
        username=username,
        email=User.objects.normalize_email(email),
        first_name=first_name,
        last_name=last_name,
        job_title=job_title,
        timezone=timezone,
    )
    if password is not None:
        try:
            validate_password(password, user)
        except ValidationError as error:
            raise InvalidInput(" ".join(error.messages), fields={"password": error.messages[0]}) from error
    user.set_password(password)
    try:
        with transaction.atomic():
            user.save()
            _audit("user.created", user, username, by, new={"email": user.email, "job_title": job_title})
    except IntegrityError as error:
        raise InvalidInput(_("There is a person with this user name or e-mail address.")) from error
    return user


def role_grant(
    *,
    user: User,
    role: str,
    legal_entity: LegalEntity | None = None,
    engagement_key: str = "",
    by: User | None = None,
    why: str = "",
) -> Grant:
    """Give a role everywhere, in an entity or on an engagement; idempotent.

    Raises :class:`RoleConflict` when the person holds a role that must be somebody else's, :class:`InvalidInput` for
    an unknown role, and refuses people who would grant themselves.
    """
    if role not in Role.values:
        raise _invalid("role", _("There is no role %(role)s.") % {"role": role})
    if by is not None and by.pk == user.pk:
        raise RoleConflict(_("Nobody grants a role to themselves; ask another administrator."))
    with transaction.atomic(), pghistory.context(user=by.pk if by else None, why=why):
        # Two grants at once must see each other, or both halves of a conflict could get in.
        User.objects.select_for_update().get(pk=user.pk)
        held = set(Grant.objects.filter(user=user).values_list("role", flat=True))
        conflict = conflict_between(role, held)
        if conflict:
            raise RoleConflict(
                _("%(role)s cannot be combined with %(other)s: %(reason)s.")
                % {"role": Role(role).label, "other": conflict[0].label, "reason": conflict[1]}
            )
        grant, created = Grant.objects.get_or_create(
            user=user,
            role=role,
            legal_entity=legal_entity,
            engagement_key=engagement_key,
            defaults={"granted_by": by},
        )
        if created:
            _audit(
                "role.granted",
                user,
                user.username,
                by,
                new=_place(grant),
                legal_entity_id=grant.legal_entity_id,
                engagement_key=engagement_key,
                why=why,
            )
    return grant


def role_revoke(*, grant: Grant, by: User | None = None, why: str = "") -> bool:
    """Take a role back; False when it was gone already."""
    with transaction.atomic(), pghistory.context(user=by.pk if by else None, why=why):
        gone, _rows = Grant.objects.filter(pk=grant.pk).delete()
        if gone:
            _audit(
                "role.revoked",
                grant.user,
                grant.user.username,
                by,
                old=_place(grant),
                legal_entity_id=grant.legal_entity_id,
                engagement_key=grant.engagement_key,
                why=why,
            )
    return bool(gone)


def grant_engagement(*, user: User, engagement_key: str, by: User | None = None) -> Grant:
    """Make a person the project manager of one engagement."""
    return role_grant(user=user, role=Role.PROJECT_MANAGER, engagement_key=engagement_key, by=by)


def entity_set(*, code: str, by: User | None = None, **fields: Any) -> LegalEntity:
    """Create or change the legal entity ``code``; only given fields change. Raises :class:`InvalidInput` for what is
    no currency, or no tax id of the entity's country."""
    currency = fields.get("currency")
    if currency is not None and currency not in CURRENCIES:
        raise _invalid("currency", _("%(code)s is not a currency of ISO 4217.") % {"code": currency})
    if {"tax_id", "country"} & set(fields):
        held = LegalEntity.objects.filter(code=code).first() or LegalEntity(code=code)
        country, tax_id = fields.get("country", held.country), fields.get("tax_id", held.tax_id)
        if taxids.fault(country, tax_id):
            raise _invalid(
                "tax_id",
                _("“%(id)s” is no valid tax id of %(country)s.") % {"id": tax_id, "country": country},
            )
    return _set(LegalEntity, {"code": code}, fields, "legal_entity", code, by)


def system_set(*, code: str, by: User | None = None, **fields: Any) -> System:
    """Create or change the system ``code``; only given fields change."""
    return _set(System, {"code": code}, fields, "system", code, by)


def routing_set(
    *,
    legal_entity: LegalEntity,
    kind: str,
    system: System,
    settings: Mapping[str, Any] | None = None,
    by: User | None = None,
) -> Routing:
    """Say which system plays ``kind`` for the entity. The system must be of that kind."""
    if system.kind != kind:
        message = _("%(name)s is no system of the kind %(kind)s.") % {"name": system.name, "kind": kind}
        raise _invalid("system", message)
    fields: dict[str, Any] = {"system": system}
    if settings is not None:
        fields["settings"] = dict(settings)
    reference = f"{legal_entity.code}:{kind}"
    return _set(Routing, {"legal_entity": legal_entity, "kind": kind}, fields, "routing", reference, by)


def rate_set(
    *, base: str, quote: str, on: dt.date, rate: Decimal, source: str = "", by: User | None = None
) -> ExchangeRate:
    """Store the rate of a day: ``1 base = rate quote``."""
    if base == quote or base not in CURRENCIES or quote not in CURRENCIES:
        raise InvalidInput(_("An exchange rate is between two different currencies of ISO 4217."))
    if not rate.is_finite() or rate <= 0:
        raise InvalidInput(_("An exchange rate is above zero."))
    reference = f"{base}/{quote} {on.isoformat()}"
    return _set(
        ExchangeRate,
        {"base": base, "quote": quote, "on": on},
        {"rate": rate, "source": source},
        "rate",
        reference,
        by,
    )


def closed_day_add(
    *, legal_entity: LegalEntity, on: dt.date, label: str = "", by: User | None = None
) -> ClosedDay:
    """A day on which the entity does not work besides weekends and public holidays."""
    reference = f"{legal_entity.code} {on.isoformat()}"
    return _set(
        ClosedDay, {"legal_entity": legal_entity, "on": on}, {"label": label}, "closed_day", reference, by
    )


def _set(
    model: type[_Row],
    identity: Mapping[str, Any],
    fields: Mapping[str, Any],
    kind: str,
    reference: str,
    by: User | None,
) -> _Row:
    """Create or change one configuration row, with row history by trigger and an audit row of what changed."""
    with transaction.atomic(), pghistory.context(user=by.pk if by else None):
        row = model._default_manager.select_for_update().filter(**identity).first()
        created = row is None
        if row is None:
            row = model(**identity)
        old = {} if created else {name: getattr(row, name) for name in fields}
        for name, value in fields.items():
            setattr(row, name, value)
        changed = {name for name in fields if created or old[name] != fields[name]}
        if not changed:
            return row
        try:
            row.full_clean(validate_unique=False, validate_constraints=False)
        except ValidationError as error:
            problems = {name: messages[0] for name, messages in error.message_dict.items()}
            raise InvalidInput(" ".join(problems.values()), fields=problems) from error
        row.save()
        entity_id = row.pk if kind == "legal_entity" else getattr(row, "legal_entity_id", None)
        journal.record(
            verb=f"{kind}.{'created' if created else 'changed'}",
            object_type=kind,
            object_ref=reference,
            by=by,
            legal_entity_id=entity_id,
            old=None if created else {name: old[name] for name in sorted(changed)},
            new={name: fields[name] for name in sorted(changed)},
        )
    return row


def _invalid(field: str, message: str) -> InvalidInput:
    return InvalidInput(message, fields={field: message})


def _place(grant: Grant) -> dict[str, Any]:
    return {
        "role": grant.role,
        "legal_entity_id": grant.legal_entity_id,
        "engagement_key": grant.engagement_key,
    }


def _audit(verb: str, user: User, reference: str, by: User | None, **values: Any) -> None:
    journal.record(verb=verb, object_type="user", object_ref=reference, by=by, **values)
