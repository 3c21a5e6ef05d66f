"""Row scope: what a person may see, as a value that querysets understand and that fails closed.

Public surface: :class:`Scope`, :class:`ScopedQuerySet`, :data:`EVERYTHING`, :data:`NOTHING`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from django.core.exceptions import FieldDoesNotExist
from django.db import models
from django.db.models import Q


@dataclass(frozen=True)
class Scope:
    """``everything`` or rows of these legal entities or these engagements (project managers)."""

    everything: bool = False
    entity_ids: frozenset[int] = frozenset()
    engagement_keys: frozenset[str] = frozenset()

    def allows(self, *, legal_entity_id: int | None, engagement_key: str = "") -> bool:
        """The same question for one row at hand."""
        if self.everything:
            return True
        if legal_entity_id is not None and legal_entity_id in self.entity_ids:
            return True
        return bool(engagement_key) and engagement_key in self.engagement_keys


EVERYTHING = Scope(everything=True)
NOTHING = Scope()


def _has_field(model: type[models.Model], name: str) -> bool:
    try:
        model._meta.get_field(name)
    except FieldDoesNotExist:
        return False
    return True


class ScopedQuerySet(models.QuerySet):
    """Querysets of rows that carry ``legal_entity`` (or ``legal_entity_id``) and perhaps ``engagement_key``."""

    def within(self, scope: Scope) -> Self:
        """Only rows inside the scope; nothing at all when the scope grants nothing."""
        if scope.everything:
            return self
        condition = Q(legal_entity_id__in=scope.entity_ids)
        if scope.engagement_keys and _has_field(self.model, "engagement_key"):
            condition |= Q(engagement_key__in=scope.engagement_keys)
        elif not scope.entity_ids:
            return self.none()
        return self.filter(condition)
