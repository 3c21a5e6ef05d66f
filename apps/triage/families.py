"""Merged groups: several causes that a person has found to be one. Each keeps its cases and its fix; in lists, in figures and
in decisions the family's root stands for all of them.

Inner module of the room. Public surface: :func:`ids_of`, :func:`families`, :func:`rooted`, :func:`heads_only`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.db.models import BigIntegerField, Exists, F, OuterRef, QuerySet, Value, When
from django.db.models import Case as When_

from apps.triage.catalogue import Severity
from apps.triage.models import Case, Group


def ids_of(group: Group) -> list[int]:
    """The groups for which this one stands: itself, and what was merged into it."""
    if group.family_id != group.pk:
        return [group.pk]
    return sorted(Group.objects.filter(family_id=group.pk).values_list("pk", flat=True))


def families() -> dict[int, int]:
    """The root of every merged group, roots among them; few, from an index that holds no others."""
    return dict(Group.objects.filter(family__isnull=False).values_list("pk", "family_id"))


def rooted(rows: QuerySet[Case], roots: Mapping[int, int]) -> QuerySet[Any]:
    """Cases with ``root``: the group that stands for theirs."""
    members: dict[int, list[int]] = {}
    for group_id, root_id in roots.items():
        members.setdefault(root_id, []).append(group_id)
    whens = [When(group_id__in=ids, then=Value(root_id)) for root_id, ids in members.items()]
    root: Any = (
        When_(*whens, default=F("group_id"), output_field=BigIntegerField()) if whens else F("group_id")
    )
    return rows.annotate(root=root)


def heads_only(rows: QuerySet[Any], roots: Mapping[int, int]) -> QuerySet[Any]:
    """Of :func:`rooted` cases that block, the oldest of each subject in its family: merged groups may hold one twice."""
    if not roots:
        return rows
    before = rows.order_by().exclude(severity=Severity.WARNING).filter(group_id__in=list(roots))
    same = {name: OuterRef(name) for name in ("subject_kind", "subject_key", "root")}
    return rows.exclude(severity=Severity.WARNING).exclude(
        Exists(before.filter(**same, pk__lt=OuterRef("pk")))
    )
