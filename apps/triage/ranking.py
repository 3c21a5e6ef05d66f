"""Which of a system's items is probably meant: candidates ranked by the likeness of their names. No queries here.

Public surface: :class:`Candidate`, :func:`ranked`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from django.utils.translation import gettext as _
from rapidfuzz import fuzz, utils


@dataclass(frozen=True)
class Candidate:
    """``target`` is the system's id, ``label`` what people call it, ``hint`` why it is offered; ``score`` 0 to 100."""

    target: str
    label: str
    hint: str
    score: float


def ranked(wanted: str, rows: Iterable[Any]) -> list[Candidate]:
    """Live, active records by likeness to ``wanted`` (words in any order), equals by name."""
    candidates = []
    for row in rows:
        if row.deleted or row.body.get("active") is False or row.facts.get("inactive") is True:
            continue
        code, name = str(row.body.get("key") or ""), str(row.body.get("name") or "")
        label = name if not code or code == name else f"{code} {name}".strip()
        score = fuzz.token_set_ratio(wanted, label, processor=utils.default_process)
        hint = _("similar name") if score >= 60 else ""
        candidates.append(Candidate(row.external_id, label or row.external_id, hint, round(score, 1)))
    return sorted(candidates, key=lambda each: (-each.score, each.label))
