"""How far a flow may go where several legal entities share a subject: each as far as its own gate says.

Public surface: :func:`lead`, :func:`passed_over`, :data:`ENTITIES`, :data:`LEFT_OUT`. A run serves the entities with the
widest gate and leaves the others out; who asked for one of those asks again, and then its own gate answers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from apps.sync.models import Gate

#: Parameters of a transaction: codes of the legal entities it was asked for, and of those that its plan leaves out.
ENTITIES, LEFT_OUT = "entities", "left_out"
_WIDEST_FIRST = (Gate.Mode.AUTOMATIC, Gate.Mode.SUGGEST, Gate.Mode.OBSERVE, Gate.Mode.OFF)


def lead(flow: str, entities: Sequence[Any]) -> tuple[tuple[Any, ...], tuple[str, ...]]:
    """``(entities to serve, codes of those left out)``; all are served where their gates say the same."""
    rows = Gate.objects.filter(flow=flow, legal_entity_id__in=[entity.id for entity in entities])
    modes = dict(rows.values_list("legal_entity_id", "mode"))
    said = {entity.code: modes.get(entity.id, Gate.Mode.OFF.value) for entity in entities}
    widest = next((mode for mode in _WIDEST_FIRST if mode.value in said.values()), Gate.Mode.OFF)
    served = tuple(entity for entity in entities if said[entity.code] == widest.value)
    return served, tuple(entity.code for entity in entities if entity not in served)


def passed_over(params: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    """Whether a run with these parameters has left out what was wanted of it."""
    return bool(set(params.get(LEFT_OUT, [])) & set(wanted.get(ENTITIES, [])))
