"""Verbs of the governance room.

Public surface: :func:`mapping_add`, :func:`mapping_change`, :func:`mapping_adopt`, :func:`still_unconfirmed`.

Segregation of duties: adding a *missing* mapping under the entity's threshold takes effect at once and goes to the review
list; changing one, one that touches the ledger (tax codes), one over the threshold or of unknown exposure needs a second
person before it has effect. Reviewing is done in ``approvals``; the outcome arrives by its hook and is announced by the
hook ``mappings_settled``.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import F
from django.utils.translation import gettext as _

from apps.approvals import services as approvals
from apps.approvals.selectors import open_request
from apps.canonical.money import Money
from apps.core import clock, hooks
from apps.core.errors import InvalidInput, NotAllowed, NotFound
from apps.governance.errors import AlreadyMapped, UnknownMappingKind
from apps.governance.models import ACTIVE, TOUCHES_LEDGER, Mapping, MappingKind, MappingState, Version
from apps.journal import services as journal
from apps.journal import transitions
from apps.organization import selectors as organization

REVIEW_KIND = "mapping"
REVIEW_VERB = "mapping.confirm"
_VERB_OF = {
    MappingState.EFFECTIVE: "added",
    MappingState.PROPOSED: "proposed",
    MappingState.CONFIRMED: "adopted",
}


def mapping_add(
    *,
    kind: str,
    legal_entity: Any,
    source: str,
    target: str,
    target_label: str,
    by: Any,
    reason: str,
    exposure: Money | None,
) -> Mapping:
    """Give a value its missing partner.

    ``legal_entity`` is an entity or None for all; ``exposure`` the net billing held that it releases, None when unknown.
    Returns the mapping, ``effective`` or ``proposed`` (see the module's head), or the active one when it already says the
    same. Raises :class:`AlreadyMapped` when the value means something else already or a proposal waits,
    :class:`NotAllowed` without ``mapping.add``.
    """
    source, target = _clean(kind, source, target)
    _require_add(by, legal_entity)
    with transaction.atomic():
        active = _active(kind, legal_entity, source)
        if active is not None:
            if active.target == target:
                return active
            raise AlreadyMapped(
                _("%(source)s already means %(target)s; change that mapping instead of adding a second one.")
                % {"source": source, "target": active.target_label or active.target}
            )
        ledger = kind in TOUCHES_LEDGER
        at_once = (
            not ledger
            and _under_threshold(legal_entity, exposure)
            and not _said_otherwise(kind, legal_entity, source, target)
        )
        return _create(
            kind=kind,
            legal_entity=legal_entity,
            source=source,
            target=target,
            target_label=target_label,
            by=by,
            reason=reason,
            exposure=exposure,
            touches_ledger=ledger,
            state=MappingState.EFFECTIVE if at_once else MappingState.PROPOSED,
        )


def mapping_change(
    *,
    mapping: Mapping,
    target: str,
    target_label: str,
    by: Any,
    reason: str,
    exposure: Money | None = None,
) -> Mapping:
    """Propose another partner for a mapped value; the present one stays in use until a second person approves."""
    source, target = _clean(mapping.kind, mapping.source, target)
    _require_add(by, mapping.legal_entity)
    if not reason.strip():
        raise InvalidInput(_("Say why the mapping changes."), fields={"reason": _("Required.")})
    with transaction.atomic():
        active = _active(mapping.kind, mapping.legal_entity, source)
        if active is None:
            raise NotFound(_("%(source)s has no mapping in use any more.") % {"source": source})
        if active.target == target:
            raise AlreadyMapped(
                _("%(source)s already means %(target)s.") % {"source": source, "target": target}
            )
        return _create(
            kind=mapping.kind,
            legal_entity=mapping.legal_entity,
            source=source,
            target=target,
            target_label=target_label,
            by=by,
            reason=reason,
            exposure=exposure,
            touches_ledger=mapping.kind in TOUCHES_LEDGER,
            state=MappingState.PROPOSED,
        )


def mapping_adopt(
    *, kind: str, legal_entity: Any, source: str, target: str, target_label: str, why: str
) -> Mapping:
    """Take over a mapping that was in force before this system, at installation: confirmed at once, by no person.

    Not for the daily work, where :func:`mapping_add` is reviewed; so it takes no actor. Adopting the same again changes
    nothing; raises :class:`AlreadyMapped` when the value means something else already.
    """
    source, target = _clean(kind, source, target)
    with transaction.atomic():
        active = _active(kind, legal_entity, source)
        if active is not None:
            if active.target == target:
                return active
            raise AlreadyMapped(
                _("%(source)s already means %(target)s.") % {"source": source, "target": active.target}
            )
        row = _insert(
            kind=kind,
            legal_entity=legal_entity,
            source=source,
            target=target,
            target_label=target_label,
            by=None,
            reason=why,
            exposure=None,
            touches_ledger=kind in TOUCHES_LEDGER,
            state=MappingState.CONFIRMED,
        )
        _raise_version()
    return row


def settle(*, mapping_id: int, approved: bool, by: Any, digest: str, comment: str) -> None:
    """Carry out a review's outcome; safe to run twice. A proposal that is approved takes the former one's place.

    A ``digest`` that is not the mapping's content is refused: the approval would have been of something else.
    """
    with transaction.atomic():
        row = Mapping.objects.select_for_update().get(pk=mapping_id)
        if digest != content_digest(row):
            raise InvalidInput(_("The approval was given for other content than the mapping has."))
        former_state = row.state
        if former_state not in (MappingState.PROPOSED, MappingState.EFFECTIVE):
            return
        if not approved:
            transitions.move(row, to=MappingState.REJECTED, by=by, why=comment)
        else:
            if former_state == MappingState.PROPOSED:
                _retire_former(row, by=by)
            transitions.move(
                row,
                to=MappingState.CONFIRMED,
                by=by,
                why=comment,
                confirmed_by=by,
                valid_from=row.valid_from or clock.now(),
            )
        if former_state == MappingState.EFFECTIVE or approved:
            _raise_version()
        hooks.mappings_settled.fire([_fact(row)])


def still_unconfirmed(*, mapping_ids: Iterable[int]) -> list[tuple[int, bool]]:
    """Those that nobody has confirmed, each with whether it was refused; locked, so that no review ends meanwhile.

    For who must place a hold until a review ends: call inside the database transaction that places it.
    """
    wanted = sorted(set(mapping_ids))
    rows = {row.pk: row for row in Mapping.objects.select_for_update().filter(pk__in=wanted).order_by("pk")}
    found = []
    for mapping_id in wanted:
        row = rows.get(mapping_id)
        if row is None or (row.state != MappingState.CONFIRMED and row.confirmed_by_id is None):
            out_of_use = row is not None and row.state in (MappingState.REJECTED, MappingState.RETIRED)
            found.append((mapping_id, out_of_use))
    return found


def content_digest(row: Mapping) -> str:
    """SHA-256 over what a reviewer approves: kind, entity, source, target."""
    content = [row.pk, row.kind, row.legal_entity_id, row.source, row.target]
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()


def _retire_former(row: Mapping, *, by: Any) -> None:
    former = _active(row.kind, row.legal_entity, row.source, lock=True)
    if former is None:
        return
    was_effective = former.state == MappingState.EFFECTIVE
    transitions.move(
        former, to=MappingState.RETIRED, by=by, why=_("Replaced by mapping %(id)s.") % {"id": row.pk}
    )
    if was_effective:
        # Its own review has lost its subject: nobody may confirm a mapping that is out of use.
        open_review = open_request(REVIEW_KIND, str(former.pk))
        if open_review is not None:
            approvals.withdraw(
                request=open_review, why=_("The mapping was replaced before it was confirmed.")
            )
    hooks.mappings_settled.fire([_fact(former)])


def _create(*, legal_entity: Any, by: Any, exposure: Money | None, **fields: Any) -> Mapping:
    """Insert the mapping and ask for its review."""
    row = _insert(legal_entity=legal_entity, by=by, exposure=exposure, **fields)
    if row.state == MappingState.EFFECTIVE:
        _raise_version()
    words = {
        "kind": row.get_kind_display(),
        "source": row.source,
        "target": row.target_label or row.target,
        "entity": legal_entity.code if legal_entity else _("all entities"),
    }
    approvals.request(
        kind=REVIEW_KIND,
        subject_type="mapping",
        subject_ref=str(row.pk),
        title=_("%(kind)s: %(source)s means %(target)s (%(entity)s)") % words,
        digest=content_digest(row),
        legal_entity_id=row.legal_entity_id,
        amount=exposure.amount if exposure else None,
        currency=exposure.currency if exposure else "",
        by=by,
        steps=[{"verb": REVIEW_VERB, "label": _("Confirm the mapping")}],
    )
    return row


def _insert(
    *,
    kind: str,
    legal_entity: Any,
    source: str,
    target: str,
    target_label: str,
    by: Any,
    reason: str,
    exposure: Money | None,
    touches_ledger: bool,
    state: MappingState,
) -> Mapping:
    now = clock.now()
    try:
        with transaction.atomic():
            row = Mapping.objects.create(
                kind=kind,
                legal_entity=legal_entity,
                source=source,
                target=target,
                target_label=target_label[:300],
                state=state,
                reason=reason,
                touches_ledger=touches_ledger,
                exposure_amount=exposure.amount if exposure else None,
                exposure_currency=exposure.currency if exposure else "",
                added_by=by,
                valid_from=None if state == MappingState.PROPOSED else now,
                created_at=now,
            )
    except IntegrityError:
        raise AlreadyMapped(
            _("Another person mapped or proposed %(source)s at the same time; look at it before you go on.")
            % {"source": source}
        ) from None
    journal.record(
        verb=f"mapping.{_VERB_OF[state]}",
        object_type="mapping",
        object_ref=str(row.pk),
        by=by,
        legal_entity_id=row.legal_entity_id,
        new={"kind": kind, "source": source, "target": target, "state": state.value},
        why=reason,
    )
    return row


def _clean(kind: str, source: str, target: str) -> tuple[str, str]:
    if kind not in MappingKind.values:
        raise UnknownMappingKind(_("There is no kind of mapping called %(kind)s.") % {"kind": kind})
    source, target = source.strip(), target.strip()
    missing = {name: _("Required.") for name, value in (("source", source), ("target", target)) if not value}
    if missing:
        raise InvalidInput(_("A mapping needs a source and a target."), fields=missing)
    too_long = {
        name: _("At most 200 characters.")
        for name, value in (("source", source), ("target", target))
        if len(value) > 200
    }
    if too_long:
        raise InvalidInput(_("A value of the mapping is too long."), fields=too_long)
    return source, target


def _require_add(by: Any, legal_entity: Any) -> None:
    if by is None:
        return
    entity_id = legal_entity.pk if legal_entity else None
    organization.require(by, "mapping.add", legal_entity_id=entity_id)
    if not organization.scope_of(by, "mapping.add").allows(legal_entity_id=entity_id):
        raise NotAllowed(_("A mapping for all entities needs a role in all of them."))


def _active(kind: str, legal_entity: Any, source: str, *, lock: bool = False) -> Mapping | None:
    rows = Mapping.objects.filter(kind=kind, legal_entity=legal_entity, source=source, state__in=ACTIVE)
    return (rows.select_for_update() if lock else rows).first()


def _said_otherwise(kind: str, legal_entity: Any, source: str, target: str) -> bool:
    """A second person refused this very pair before, or for all entities the value means something else: then adding it
    is a change, however small."""
    refused = Mapping.objects.filter(
        kind=kind, legal_entity=legal_entity, source=source, target=target, state=MappingState.REJECTED
    )
    general = Mapping.objects.filter(kind=kind, legal_entity=None, source=source, state__in=ACTIVE)
    return refused.exists() or general.exclude(target=target).exists()


def _under_threshold(legal_entity: Any, exposure: Money | None) -> bool:
    """Unknown exposure, no entity or no exchange rate: it cannot be shown to be small, so it is not."""
    if legal_entity is None or exposure is None:
        return False
    converted = organization.convert(exposure, legal_entity.currency, clock.today(legal_entity.timezone))
    return converted is not None and converted[0].amount <= legal_entity.mapping_threshold


def _raise_version() -> None:
    if not Version.objects.update(number=F("number") + 1):
        Version.objects.get_or_create(pk=1, defaults={"number": 2})


def _fact(row: Mapping) -> dict[str, Any]:
    return {
        "mapping_id": row.pk,
        "state": str(row.state),
        "legal_entity_id": row.legal_entity_id,
        "kind": row.kind,
        "source": row.source,
        "by_id": row.confirmed_by_id,
    }
