"""Help texts of catalogue codes in the firm's own words: for all legal entities, or for one, which wins over the former.

Public surface: :func:`help_set`, :func:`help_for` (what a reader of a case sees), :func:`help_texts` (all of a code within a
scope), :class:`HelpText` (the row; only this room holds it). Plain text; an empty one gives way to the more general.
"""

from __future__ import annotations

from typing import Any

import pghistory
from django.conf import settings
from django.db import IntegrityError, models, transaction
from django.db.models import Q
from django.utils.translation import gettext as _

from apps.core import clock
from apps.core.errors import InvalidInput, NotFound, Stale
from apps.core.scope import Scope
from apps.journal import services as journal
from apps.organization import selectors as organization
from apps.triage.catalogue import known

LONGEST = 4000


@pghistory.track()
class HelpText(models.Model):
    """``version`` counts the saves: who saves says which one they were shown."""

    legal_entity = models.ForeignKey(
        "organization.LegalEntity", null=True, blank=True, on_delete=models.PROTECT, related_name="+"
    )
    code = models.CharField(max_length=60)
    text = models.TextField(blank=True, default="")
    version = models.PositiveIntegerField(default=1)
    edited_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    edited_at = models.DateTimeField()

    class Meta:
        app_label = "triage"
        constraints = [
            models.UniqueConstraint(
                fields=["code", "legal_entity"], name="triage_help_once", nulls_distinct=False
            )
        ]

    def __str__(self) -> str:
        return f"{self.code} {self.legal_entity_id or ''}".strip()


def help_set(*, code: str, legal_entity: Any, text: str, version: int, by: Any) -> HelpText:
    """Save a help text. ``version`` is that of the text the person was shown, 0 when there was none.

    Raises :class:`NotAllowed` outside the person's reach (all entities: who may edit everywhere), :class:`NotFound` for an
    unknown code, :class:`InvalidInput` for a text that is too long, and :class:`Stale`, saying who was faster.
    """
    _require(by, legal_entity)
    if not known(code):
        raise NotFound(_("There is no such code."))
    text = text.replace("\r\n", "\n").strip()
    if len(text) > LONGEST:
        raise InvalidInput(
            _("A help text has at most %(most)s characters.") % {"most": LONGEST},
            fields={"text": _("Too long.")},
        )
    with transaction.atomic():
        former = HelpText.objects.select_for_update(of=("self",)).filter(code=code, legal_entity=legal_entity)
        row = former.select_related("edited_by").first()
        if (row.version if row else 0) != version:
            raise Stale(_changed(row))
        old = row.text if row else ""
        row = row or HelpText(code=code, legal_entity=legal_entity, version=0)
        row.text, row.version, row.edited_at = text, row.version + 1, clock.now()
        row.edited_by = by
        try:
            with transaction.atomic():
                row.save()
        except IntegrityError:
            raise Stale(
                _("Somebody else has just written the first text here. Look at it, then save again.")
            ) from None
        journal.record(
            verb="catalogue.help_set",
            object_type="catalogue_code",
            object_ref=code,
            legal_entity_id=legal_entity.pk if legal_entity else None,
            by=by,
            old={"text": old},
            new={"text": text},
        )
    return row


def _require(by: Any, legal_entity: Any) -> None:
    """No entity has the id 0: only who may edit everywhere may edit there."""
    place = legal_entity.pk if legal_entity is not None else 0
    organization.require(by, "catalogue.edit", legal_entity_id=place)


def _changed(row: HelpText | None) -> str:
    if row is None:
        return _("The text that you were shown is gone. Look again before you save.")
    return _(
        "%(who)s changed this text at %(when)s, after you had opened it. Your version was not saved."
    ) % {
        "who": row.edited_by.display_name,
        "when": f"{row.edited_at:%Y-%m-%d %H:%M} UTC",
    }


def help_for(code: str, legal_entity_id: int | None) -> HelpText | None:
    """The most specific text that is not empty, with its author; None when the catalogue's own applies. One query."""
    place = Q(legal_entity=None)
    if legal_entity_id is not None:
        place |= Q(legal_entity_id=legal_entity_id)
    rows = (
        HelpText.objects.filter(place, code=code).exclude(text="").select_related("edited_by", "legal_entity")
    )
    return rows.order_by(models.F("legal_entity_id").asc(nulls_last=True)).first()


def help_texts(code: str, scope: Scope) -> list[HelpText]:
    """Every text of a code that somebody with this scope may see: that of all entities first, then by entity."""
    rows = HelpText.objects.filter(code=code).select_related("edited_by", "legal_entity")
    if not scope.everything:
        rows = rows.filter(Q(legal_entity=None) | Q(legal_entity_id__in=scope.entity_ids))
    return list(rows.order_by(models.F("legal_entity__code").asc(nulls_first=True)))
