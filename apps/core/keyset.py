"""Pages by key: a list goes on after the last row that was seen, so that its thousandth page costs what its first does.

Public surface: :func:`page_by_key`, :class:`KeyPage`, :func:`counted`, :class:`Count`, :func:`bounded`, :data:`MOST`.

Two orders are enough for the console: one unique column, or one that may be empty (empty ones last) with ``id`` after it. Each
part is a plain range of an index; an OR over both would be a scan.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import QuerySet

#: Exact up to here where no counter knows the answer, estimated above.
MOST = 10_000


@dataclass(frozen=True)
class KeyPage:
    """``previous`` and ``next`` are tokens of the neighbouring pages, "" where there is none."""

    rows: Sequence[Any]
    previous: str
    next: str


@dataclass(frozen=True)
class Count:
    """How many rows there are; not ``exact``: as the planner of the database estimates them, which is more than ``MOST``."""

    number: int
    exact: bool = True


def bounded(rows: QuerySet[Any], *, most: int = 1000) -> int:
    """How many rows, at most ``most + 1``. By key, so that a table is not read from its beginning to find so many."""
    return rows.order_by("-pk").values("pk")[: most + 1].count()


def counted(rows: QuerySet[Any]) -> Count:
    """Counted up to ``MOST``, estimated above; reads at most ``MOST + 1`` rows."""
    number = bounded(rows, most=MOST)
    if number <= MOST:
        return Count(number)
    [plan] = json.loads(rows.prefetch_related(None).order_by().values("pk").explain(format="json"))
    estimate = max(int(plan["Plan"]["Plan Rows"]), MOST)
    # Two digits: an estimate is not told as if it were known.
    return Count(round(estimate, 2 - len(str(estimate))), exact=False)


def page_by_key(rows: QuerySet[Any], *, token: str, limit: int, by: str = "") -> KeyPage:
    """A page of ``rows``: newest ``id`` first, or in the order of the column ``by`` (a timestamp) and ``id``.

    ``token`` comes from a page before; "" or nonsense shows the first page.
    """
    order = _ByTime(rows, by) if by else _Newest(rows)
    back, key = _read(token, timed=bool(by))
    if key is not None and back:
        found = list(reversed(order.before(key, limit + 1)))
        if len(found) > limit:
            found = found[1:]
            return KeyPage(found, _token("b", order.key(found[0])), _token("a", order.key(found[-1])))
        # Nearly at the beginning: the first page is shown whole.
        key = None
    found = order.first(limit + 1) if key is None else order.after(key, limit + 1)
    more = len(found) > limit
    found = found[:limit]
    return KeyPage(
        found,
        _token("b", order.key(found[0])) if key is not None and found else "",
        _token("a", order.key(found[-1])) if more else "",
    )


Key = tuple[datetime | None, int]


class _Newest:
    def __init__(self, rows: QuerySet[Any]) -> None:
        self._rows = rows

    def key(self, row: Any) -> Key:
        return None, row.id

    def first(self, limit: int) -> list[Any]:
        return list(self._rows.order_by("-id")[:limit])

    def after(self, key: Key, limit: int) -> list[Any]:
        return list(self._rows.filter(id__lt=key[1]).order_by("-id")[:limit])

    def before(self, key: Key, limit: int) -> list[Any]:
        return list(self._rows.filter(id__gt=key[1]).order_by("id")[:limit])


class _ByTime:
    """Rows of the same instant, then those after it, then those without any: each part a plain range of the index."""

    def __init__(self, rows: QuerySet[Any], by: str) -> None:
        self._rows, self._by = rows, by

    @property
    def _timed(self) -> QuerySet[Any]:
        return self._rows.filter(**{f"{self._by}__isnull": False})

    @property
    def _untimed(self) -> QuerySet[Any]:
        return self._rows.filter(**{f"{self._by}__isnull": True})

    def key(self, row: Any) -> Key:
        return getattr(row, self._by), row.id

    def first(self, limit: int) -> list[Any]:
        found = list(self._timed.order_by(self._by, "id")[:limit])
        return (
            found if len(found) == limit else found + list(self._untimed.order_by("id")[: limit - len(found)])
        )

    def after(self, key: Key, limit: int) -> list[Any]:
        at, number = key
        if at is None:
            return _taken([self._untimed.filter(id__gt=number).order_by("id")], limit)
        same = self._rows.filter(**{self._by: at}, id__gt=number).order_by("id")
        later = self._rows.filter(**{f"{self._by}__gt": at}).order_by(self._by, "id")
        return _taken([same, later, self._untimed.order_by("id")], limit)

    def before(self, key: Key, limit: int) -> list[Any]:
        at, number = key
        if at is None:
            untimed = self._untimed.filter(id__lt=number).order_by("-id")
            return _taken([untimed, self._timed.order_by(f"-{self._by}", "-id")], limit)
        same = self._rows.filter(**{self._by: at}, id__lt=number).order_by("-id")
        earlier = self._rows.filter(**{f"{self._by}__lt": at}).order_by(f"-{self._by}", "-id")
        return _taken([same, earlier], limit)


def _taken(parts: Sequence[QuerySet[Any]], limit: int) -> list[Any]:
    """The first ``limit`` rows of the parts, one after the other; a part that is not needed is not asked."""
    found: list[Any] = []
    for part in parts:
        if len(found) < limit:
            found += part[: limit - len(found)]
    return found


def _token(way: str, key: Key) -> str:
    at, number = key
    return f"{way}{number}" + (f"~{at.isoformat()}" if at is not None else "")


def _read(token: str, *, timed: bool) -> tuple[bool, Key | None]:
    """``(backwards, key)``; no key for what is no token."""
    number, _, at = token[1:].partition("~")
    if token[:1] not in ("a", "b") or not number.isdecimal() or len(number) > 18 or (at and not timed):
        return False, None
    try:
        # A plus sign of the zone arrives as a space where somebody typed the address.
        moment = datetime.fromisoformat(at.replace(" ", "+")) if at else None
    except ValueError:
        return False, None
    if moment is not None and moment.tzinfo is None:
        return False, None
    return token[0] == "b", (moment, int(number))
