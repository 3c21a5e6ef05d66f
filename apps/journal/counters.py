"""Counter tables: how many rows a table has of each kind, kept by triggers, read without counting.

Public surface: :class:`Counter`, :func:`declare`, :func:`counted_by`, :func:`totals`, :class:`Total`, :func:`margins`,
:class:`Margins`, :func:`sums`, :func:`summed`, :func:`count_moment`, :func:`fold`, :func:`fold_in_batches`, :func:`recount`,
:class:`Drift`.

A statement that changes rows appends one delta for each kind that it changes, in its own transaction: a rollback takes it
along, and since nobody updates a shared row, nobody waits for another. A follower folds deltas into the totals; readers add up
both in one statement, so they see each change exactly once whether it is folded or not. Totals are per legal entity, as
reading is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, NamedTuple

import pgtrigger
from django.db import connection, transaction
from django.db.models import Count, Q, QuerySet

from apps.core import statements
from apps.core.scope import Scope

#: One folder or recounter at a time.
_LOCK = 0x7073_636E_7473
_FOLD = 20_000


@dataclass(frozen=True)
class Counter:
    """Rows of ``table`` by legal entity and by ``keys``, which are text columns or expressions.

    ``name`` is what the totals are kept under; ``where`` leaves rows out.
    """

    name: str
    table: str
    keys: tuple[str, ...]
    where: str = ""

    @property
    def kind(self) -> str:
        return f"legal_entity_id, ARRAY[{', '.join(self.keys)}]::text[]"

    def of(self, rows: str) -> str:
        return f"{rows} WHERE {self.where}" if self.where else rows


class Total(NamedTuple):
    """``keys`` in the order of the counter's."""

    legal_entity_id: int | None
    keys: tuple[str, ...]
    number: int


@dataclass(frozen=True)
class Drift:
    """What a recount found: the totals said ``counted``, there were ``true``."""

    total: Total
    true: int


_counters: dict[str, Counter] = {}


def declare(counter: Counter) -> Counter:
    """Called where the model is defined; the recount knows all of them."""
    _counters[counter.name] = counter
    return counter


def counters() -> list[Counter]:
    return [_counters[name] for name in sorted(_counters)]


# ---- Triggers --------------------------------------------------------------------------------------------------------


def counted_by(*wanted: Counter) -> list[pgtrigger.Trigger]:
    """For ``Meta.triggers`` of the model: one statement, one delta a kind, however many rows it changes. Several counters of a
    table share its triggers."""
    append = "INSERT INTO journal_countdelta (name, legal_entity_id, keys, n) "
    name = wanted[0].name
    changes = [_changes(counter) for counter in wanted]
    rows = {verb: " UNION ALL ".join(one[verb] for one in changes) for verb in ("insert", "delete", "update")}
    tables = {
        "insert": pgtrigger.Referencing(new="new_rows"),
        "delete": pgtrigger.Referencing(old="old_rows"),
        "update": pgtrigger.Referencing(old="old_rows", new="new_rows"),
    }
    operations = {"insert": pgtrigger.Insert, "delete": pgtrigger.Delete, "update": pgtrigger.Update}
    return [
        pgtrigger.Trigger(
            name=f"{name}_counted_{verb}",
            level=pgtrigger.Statement,
            when=pgtrigger.After,
            operation=operations[verb],
            referencing=tables[verb],
            func=f"{append}{rows[verb]}; RETURN NULL;",
        )
        for verb in rows
    ]


def _changes(counter: Counter) -> dict[str, str]:
    """What a statement of each kind adds, as a query over its transition tables."""
    name, new, old = counter.name, counter.of("new_rows"), counter.of("old_rows")
    return {
        "insert": f"SELECT '{name}', {counter.kind}, count(*) FROM {new} GROUP BY 2, 3",  # noqa: S608
        "delete": f"SELECT '{name}', {counter.kind}, -count(*) FROM {old} GROUP BY 2, 3",  # noqa: S608
        "update": (
            f"SELECT '{name}', entity, kind, sum(n) FROM ("  # noqa: S608
            f"SELECT {counter.kind}, -1 FROM {old} UNION ALL SELECT {counter.kind}, 1 FROM {new}"
            ") AS changed (entity, kind, n) GROUP BY 2, 3 HAVING sum(n) <> 0"
        ),
    }


# ---- Reading ---------------------------------------------------------------------------------------------------------


_BOTH = """(
            SELECT name, legal_entity_id, keys, n FROM journal_count
            UNION ALL
            SELECT name, legal_entity_id, keys, n FROM journal_countdelta
        ) AS both_of_them"""
_SEEN = "(%(all)s::bool OR legal_entity_id = ANY(%(entities)s::bigint[]))"


@cache
def _totals(counter: Counter) -> str:
    """Keys are read one by one: an array made anew for each row costs more than all else of the statement."""
    keys = "".join(f", keys[{at + 1}]" for at in range(len(counter.keys)))
    columns = ", ".join(str(number) for number in range(1, len(counter.keys) + 2))
    return f"""
        SELECT legal_entity_id{keys}, sum(n)::bigint FROM {_BOTH}
        WHERE name = '{counter.name}' AND {_SEEN}
        GROUP BY {columns} HAVING sum(n) <> 0
    """  # noqa: S608


def totals(counter: Counter, scope: Scope, rows: QuerySet[Any]) -> list[Total]:
    """How many rows of each kind the scope may see.

    ``rows`` are all rows of the table: those of engagements outside the scope's legal entities (a project manager's own) are
    few, and counted by their index.
    """
    found: list[Total] = []
    if scope.everything or scope.entity_ids:
        asked = {"all": scope.everything, "entities": sorted(scope.entity_ids)}
        found = [Total(line[0], line[1:-1], line[-1]) for line in statements.rows(_totals(counter), asked)]
    own = _own(scope, rows)
    if own is None:
        return found
    grouped = own.values_list("legal_entity_id", *counter.keys).annotate(Count("pk"))
    return found + [Total(line[0], tuple(line[1:-1]), line[-1]) for line in grouped]


def _own(scope: Scope, rows: QuerySet[Any]) -> QuerySet[Any] | None:
    """The rows of a project manager's own engagements in other legal entities; None where there are none to ask for."""
    if scope.everything or not scope.engagement_keys:
        return None
    own = rows.filter(engagement_key__in=scope.engagement_keys).order_by()
    return own.filter(Q(legal_entity_id=None) | ~Q(legal_entity_id__in=scope.entity_ids))


@dataclass(frozen=True)
class Margins:
    """How many rows there are of each value of one key, and in each legal entity. A value without rows may be absent."""

    keys: Mapping[str, int]
    entities: Mapping[int | None, int]


@cache
def _margins(counter: Counter, key: int, without: bool, given: tuple[int, ...]) -> str:
    """Both sums of one reading, added up by the server: the kinds are many times as many as their margins. What is left out
    is named instead of what is wanted, since the planner takes the first for most rows, as it is, and does not sort."""
    column = f"keys[{key + 1}]"
    left_out = " AND keys[1] <> ALL(%(without)s::text[])" if without else ""
    limited = "".join(f" AND keys[{at + 1}] = %(key{at})s" for at in given)
    return f"""
        SELECT grouping(legal_entity_id), legal_entity_id, {column},
            CASE WHEN grouping(legal_entity_id) = 1
                THEN sum(n) FILTER (WHERE %(entity)s::bigint IS NULL OR legal_entity_id = %(entity)s::bigint)
                ELSE sum(n) FILTER (
                    WHERE (%(among)s::text[] IS NULL OR lower({column}) = ANY(%(among)s::text[]))
                    AND {column} <> ALL(%(besides)s::text[])
                )
            END::bigint
        FROM {_BOTH}
        WHERE name = '{counter.name}' AND {_SEEN}{left_out}{limited}
        GROUP BY GROUPING SETS ((legal_entity_id), ({column}))
    """  # noqa: S608


def margins(
    counter: Counter,
    scope: Scope,
    rows: QuerySet[Any],
    *,
    key: int,
    legal_entity_id: int | None = None,
    among: Sequence[str] | None = None,
    besides: Sequence[str] = (),
    without: Sequence[str] = (),
    given: Mapping[int, str] | None = None,
) -> Margins:
    """How many rows that the scope may see have each value of the key at position ``key``, of one legal entity where one is
    named; and how many each legal entity has, of those whose key is ``among`` some (however written) and not ``besides``. Only
    those whose first key is none of ``without``, and whose keys are as ``given`` by position. ``rows``: see :func:`totals`."""
    given = given or {}
    named = None if among is None else [value.lower() for value in among]
    keys: dict[str, int] = {}
    entities: dict[int | None, int] = {}
    if scope.everything or scope.entity_ids:
        asked: dict[str, Any] = {"all": scope.everything, "entities": sorted(scope.entity_ids)}
        asked |= {"entity": legal_entity_id, "among": named, "besides": list(besides)}
        asked |= {f"key{at}": value for at, value in given.items()}
        if without:
            asked["without"] = list(without)
        sql = _margins(counter, key, bool(without), tuple(sorted(given)))
        for by_key, entity_id, value, number in statements.rows(sql, asked):
            if number and by_key:
                keys[value] = number
            elif number:
                entities[entity_id] = number
    own = _own(scope, rows)
    if own is not None:
        own = own.filter(**{counter.keys[at]: value for at, value in given.items()})
        if without:
            own = own.exclude(**{f"{counter.keys[0]}__in": without})
        for entity_id, value, number in own.values_list("legal_entity_id", counter.keys[key]).annotate(
            Count("pk")
        ):
            if legal_entity_id is None or entity_id == legal_entity_id:
                keys[value] = keys.get(value, 0) + number
            if (named is None or value.lower() in named) and value not in besides:
                entities[entity_id] = entities.get(entity_id, 0) + number
    return Margins(keys, entities)


@cache
def _sums(counter: Counter) -> str:
    keys = ", ".join(f"keys[{at + 1}]" for at in range(len(counter.keys)))
    columns = ", ".join(str(at + 1) for at in range(len(counter.keys)))
    return f"""
        SELECT {keys}, sum(n)::bigint FROM {_BOTH}
        WHERE name = '{counter.name}' AND keys >= %(first)s::text[] AND {_SEEN}
        GROUP BY {columns} HAVING sum(n) <> 0
    """  # noqa: S608


def sums(counter: Counter, scope: Scope, *, first: str = "") -> dict[tuple[str, ...], int]:
    """How many rows of each kind there are in the scope's legal entities together, of those whose first key is not before
    ``first``. What a project manager sees of other entities is not part of it."""
    given = {
        "all": scope.everything,
        "entities": sorted(scope.entity_ids),
        "first": [first] if first else [],
    }
    return {line[:-1]: line[-1] for line in statements.rows(_sums(counter), given)}


def summed(
    found: Sequence[Total], key: int, *, given: dict[int, frozenset[str]] | None = None
) -> dict[str, int]:
    """Totals by the key at position ``key``, of those whose other keys are among ``given``."""
    for at, wanted in (given or {}).items():
        if at != key:
            found = [total for total in found if total.keys[at] in wanted]
    answer: dict[str, int] = {}
    for _, keys, number in found:
        answer[keys[key]] = answer.get(keys[key], 0) + number
    return answer


_MOMENT = (
    "SELECT last_value || '-' || (SELECT count(*) FROM journal_countdelta) FROM journal_countdelta_id_seq"
)


def count_moment() -> str:
    """A word that is another one as soon as any counted row has changed its kind visibly, in one statement.

    It is the last number given to a delta and how many are unfolded. Numbers are given out before their deltas are visible:
    until the next fold the unfolded can only become more, and a fold takes a number itself."""
    return str(statements.rows(_MOMENT, ())[0][0])


# ---- Keeping ---------------------------------------------------------------------------------------------------------

_FOLD_SQL = """
WITH gone AS (
    DELETE FROM journal_countdelta WHERE id = ANY(ARRAY(SELECT id FROM journal_countdelta ORDER BY id LIMIT %s))
    RETURNING name, legal_entity_id, keys, n
),
folded AS (
    INSERT INTO journal_count AS c (name, legal_entity_id, keys, n)
    SELECT name, legal_entity_id, keys, sum(n) FROM gone GROUP BY 1, 2, 3 HAVING sum(n) <> 0
    ON CONFLICT (name, legal_entity_id, keys) DO UPDATE SET n = c.n + excluded.n
)
SELECT count(*), CASE WHEN count(*) > 0 THEN nextval('journal_countdelta_id_seq') END FROM gone
"""


def fold() -> int:
    """Add settled deltas to the totals; returns how many. Nothing when another folder is at work."""
    return fold_in_batches(_FOLD_SQL, batch=_FOLD, lock=_LOCK)


def fold_in_batches(statement: str, *, batch: int, lock: int) -> int:
    """Carry out ``statement``, whose one parameter is ``batch`` and whose first value says how many it took, until it takes
    fewer; each time in a transaction of its own. One folder at a time holds ``lock``. Returns how many were taken."""
    done = 0
    while True:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SELECT pg_try_advisory_xact_lock(%s)", [lock])
            if not cursor.fetchone()[0]:
                return done
            cursor.execute(statement, [batch])
            folded: int = cursor.fetchone()[0]
        done += folded
        if folded < batch:
            return done


def recount(counter: Counter) -> list[Drift]:
    """Compare with the truth and put right what differs; an empty list means that nothing did.

    One statement, so one snapshot of rows, totals and deltas; what is wrong is corrected by a delta. Writers go on meanwhile.
    """
    statement = f"""
        WITH truth AS (SELECT {counter.kind} AS keys, count(*) AS n FROM {counter.of(counter.table)} GROUP BY 1, 2),
        told AS (
            SELECT legal_entity_id, keys, sum(n) AS n FROM (
                SELECT legal_entity_id, keys, n FROM journal_count WHERE name = %(name)s
                UNION ALL SELECT legal_entity_id, keys, n FROM journal_countdelta WHERE name = %(name)s
            ) AS both_of_them GROUP BY 1, 2
        ),
        compared AS (
            SELECT entity, keys, sum(truth) AS truth, sum(told) AS told FROM (
                SELECT legal_entity_id, keys, n, 0 FROM truth UNION ALL SELECT legal_entity_id, keys, 0, n FROM told
            ) AS lines (entity, keys, truth, told) GROUP BY 1, 2 HAVING sum(truth) <> sum(told)
        ),
        corrected AS (
            INSERT INTO journal_countdelta (name, legal_entity_id, keys, n)
            SELECT %(name)s, entity, keys, truth - told FROM compared
        )
        SELECT entity, keys, told::bigint, truth::bigint FROM compared ORDER BY entity, keys
    """  # noqa: S608
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [_LOCK])
        cursor.execute(statement, {"name": counter.name})
        rows = cursor.fetchall()
    return [Drift(Total(entity, tuple(keys), told), true) for entity, keys, told, true in rows]
