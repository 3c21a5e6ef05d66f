"""Merged groups: several causes that a person has found to be one. Each keeps its cases and its fix; in lists, in figures and
in decisions the family's root stands for all of them.

Inner module of the room. Public surface: :func:`ids_of`, :func:`families`, :func:`rooted`, :func:`older`,
:func:`reasons_seen`, :func:`sees_all`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from django.db.models import BigIntegerField, Exists, F, OuterRef, Q, QuerySet, Value, When
from django.db.models import Case as When_

from apps.core.scope import Scope
from apps.triage.catalogue import Severity
from apps.triage.models import OPEN_STATES, Case, Group


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


def older(scope: Scope | None, rows: QuerySet[Case]) -> Exists:
    """Whether an older open case of the same subject blocks too, of all that the scope allows (else of ``rows``): then that
    one holds the subject's amount, under its own cause, and not this one."""
    among = Case.objects.within(scope) if scope is not None else rows
    among = among.order_by().filter(state__in=OPEN_STATES).exclude(severity=Severity.WARNING)
    same = {name: OuterRef(name) for name in ("subject_kind", "subject_key")}
    return Exists(among.filter(**same, pk__lt=OuterRef("pk")))


def sees_all(scope: Scope, group: Group) -> bool:
    """Whether every case of the group is in the scope, whatever engagement it is of."""
    return scope.allows(legal_entity_id=group.legal_entity_id)


def reasons_seen(scope: Scope, found: Iterable[Group]) -> dict[int, str]:
    """The sentence of each group for a reader: the group's own is its newest case's, whoever may see that one; who sees single
    engagements reads the newest of theirs, of what was merged into it too, and none where there is none."""
    found = list(found)
    said = {group.pk: group.reason for group in found if sees_all(scope, group)}
    narrow = {group.pk for group in found} - said.keys()
    if not narrow:
        return said
    own = Case.objects.within(scope).order_by("pk")
    own = own.filter(Q(group_id__in=narrow) | Q(group__family_id__in=narrow))
    own_said: dict[int, str] = {}
    for group_id, root_id, reason in own.values_list("group_id", "group__family_id", "reason"):
        own_said |= {key: reason for key in (group_id, root_id) if key in narrow}
    return {**dict.fromkeys(narrow, ""), **said, **own_said}
