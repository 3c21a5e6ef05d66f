"""Figures of the open cases that are kept and not counted at each look: billing held, and the groups of the list.

Public surface: :func:`answers`, :func:`held_sums`, :func:`currencies`, :class:`GroupSums`, :class:`GroupSum`, :func:`fold`,
:func:`rebuild`, :func:`drifts`, :data:`TRIGGERS`.

A subject's amount is held once, under its oldest blocking case (its *head*), by the sums and by the groups alike. Neither can
be kept by adding deltas: whether a case counts depends on its neighbours. Instead every statement that changes a case leaves a
*touched* row of its subject and group, in its own transaction; a rollback takes it along, and nobody waits for another. What
is touched is computed from the cases themselves by whoever reads, and everything else comes from the totals, all in one
statement and so from one snapshot: figures are exact whether they are folded or not. A follower takes touched rows into the
totals.

Subjects with blocking cases in several legal entities are few. Who counts depends on what the reader may see, so they are
never in the totals but always computed; of a group's cases they are the only ones whose amount is not in its line.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import pgtrigger
from django.db import connection, transaction

from apps.core import statements
from apps.core.scope import EVERYTHING, Scope
from apps.journal.counters import fold_in_batches
from apps.organization import selectors as organization

#: One folder or rebuilder at a time.
_LOCK = 0x7073_6865_6C64
_FOLD = 5_000
#: The open states, as statements and indexes name them.
OPEN = "state IN ('open', 'triaged', 'assigned', 'in_progress', 'awaiting_source', 'awaiting_approval')"
_BLOCKS = "severity <> 'warning'"

# ---- Triggers --------------------------------------------------------------------------------------------------------

_COUNTS = "legal_entity_id, group_id, subject_kind, subject_key, state, severity, currency, held_amount, opened_at, due_at"
_OLD, _NEW = (", ".join(f"{row}.{name}" for name in _COUNTS.split(", ")) for row in ("o", "n"))
_PLACE = "subject_kind, subject_key, group_id"
_PLACES = f"SELECT DISTINCT {_PLACE} FROM "  # noqa: S608
_TOUCH = f"INSERT INTO triage_touched ({_PLACE}) "
_CHANGED = (
    f"SELECT o.subject_kind, o.subject_key, o.group_id FROM old_rows o JOIN new_rows n USING (id)"  # noqa: S608
    f" WHERE ({_OLD}) IS DISTINCT FROM ({_NEW})"
    f" UNION SELECT n.subject_kind, n.subject_key, n.group_id FROM old_rows o JOIN new_rows n USING (id)"
    f" WHERE ({_OLD}) IS DISTINCT FROM ({_NEW})"
)


def _trigger(verb: str, operation: Any, rows: str, **tables: str) -> pgtrigger.Trigger:
    return pgtrigger.Trigger(
        name=f"case_touched_{verb}",
        level=pgtrigger.Statement,
        when=pgtrigger.After,
        operation=operation,
        referencing=pgtrigger.Referencing(**tables),
        func=f"{_TOUCH}{rows}; RETURN NULL;",
    )


#: For ``Meta.triggers`` of the case: one row a subject and group that a statement changes, nothing for other columns.
TRIGGERS = [
    _trigger("insert", pgtrigger.Insert, _PLACES + "new_rows", new="new_rows"),
    _trigger("delete", pgtrigger.Delete, _PLACES + "old_rows", old="old_rows"),
    _trigger("update", pgtrigger.Update, _CHANGED, old="old_rows", new="new_rows"),
]

# ---- Reading ---------------------------------------------------------------------------------------------------------

_SEEN = "(%(all)s::bool OR legal_entity_id = ANY(%(entities)s::bigint[]))"
#: What the scope allows, where a list shows less of it: which case of a subject is its head is no matter of a filter.
_MAY = "(%(may_all)s::bool OR legal_entity_id = ANY(%(may_entities)s::bigint[]))"
_APART = """apart AS MATERIALIZED (
    SELECT subject_kind, subject_key FROM triage_touched
    UNION SELECT subject_kind, subject_key FROM triage_heldsubject WHERE shared
)"""

#: Every part looks up one subject at a time: how many were touched is nothing that the planner could know.
_HELD = f"""
WITH {_APART}
SELECT legal_entity_id, currency, sum(total), sum(unknown)::int, sum(subjects)::int FROM (
    SELECT legal_entity_id, currency, total, unknown, subjects FROM triage_heldtotal WHERE {_SEEN}
    UNION ALL
    SELECT was.legal_entity_id, was.currency, -coalesce(was.amount, 0), -(was.amount IS NULL)::int, -1
    FROM apart CROSS JOIN LATERAL (
        SELECT legal_entity_id, currency, amount FROM triage_heldsubject h
        WHERE h.subject_kind = apart.subject_kind AND h.subject_key = apart.subject_key AND NOT shared AND {_SEEN} LIMIT 1
    ) AS was
    UNION ALL
    SELECT head.legal_entity_id, head.currency, coalesce(head.held_amount, 0), (head.held_amount IS NULL)::int, 1
    FROM apart CROSS JOIN LATERAL (
        SELECT legal_entity_id, currency, held_amount FROM triage_case c
        WHERE c.subject_kind = apart.subject_kind AND c.subject_key = apart.subject_key AND {OPEN} AND {_BLOCKS} AND {_SEEN}
        ORDER BY c.id LIMIT 1
    ) AS head
) AS lines GROUP BY 1, 2 HAVING sum(subjects) <> 0 ORDER BY 1, 2
"""  # noqa: S608

_LINES = "group_id, legal_entity_id, currency, code, cases, oldest, due_at, first_id, held, unknown, blocking"
#: Whether a case ``c`` is what its subject holds by, whoever looks: no older one blocks it too, none of another entity at all.
_HEAD = f"""({_BLOCKS} AND NOT EXISTS (
    SELECT 1 FROM triage_case o
    WHERE o.subject_kind = c.subject_kind AND o.subject_key = c.subject_key AND {OPEN} AND {_BLOCKS}
        AND (o.id < c.id OR o.legal_entity_id IS DISTINCT FROM c.legal_entity_id)
))"""  # noqa: S608
_SUMS = """min(code) AS code, count(*)::int AS cases, min(opened_at) AS oldest, min(due_at) AS due_at, min(id) AS first_id,
    sum(held_amount) FILTER (WHERE head) AS held, (count(*) FILTER (WHERE head AND held_amount IS NULL))::int AS unknown,
    (count(*) FILTER (WHERE head))::int AS blocking"""


def _live(seen: str) -> str:
    """The lines of each group of ``wanted``, from its cases. OFFSET keeps the look for older ones from being done thrice."""
    return f"""
    SELECT group_id, legal_entity_id, currency, {_SUMS} FROM (
        SELECT c.*, {_HEAD} AS head FROM triage_case c WHERE c.group_id = wanted.group_id AND {OPEN} AND {seen} OFFSET 0
    ) AS its GROUP BY 1, 2, 3
    """  # noqa: S608


_WANTED = "(%(groups)s::bigint[] IS NULL OR group_id = ANY(%(groups)s::bigint[]))"
#: Groups of which a case was changed, and those in which a case of such a subject may have become its head or ceased to be.
_TOUCHED = f"""
SELECT DISTINCT group_id FROM (
    SELECT group_id FROM triage_touched
    UNION ALL
    SELECT near.group_id FROM (SELECT DISTINCT subject_kind, subject_key FROM triage_touched) AS s CROSS JOIN LATERAL (
        SELECT group_id FROM triage_case c
        WHERE c.subject_kind = s.subject_kind AND c.subject_key = s.subject_key AND {OPEN} AND {_BLOCKS}
    ) AS near
) AS t
"""  # noqa: S608
#: Merged groups are few: they are never taken from the totals but computed.
_FAMILIES = "families AS MATERIALIZED (SELECT id, family_id FROM triage_group WHERE family_id IS NOT NULL)"
_NO_FAMILY = "NOT EXISTS (SELECT 1 FROM families WHERE families.id = t.group_id)"
_OF_FAMILIES = f"""
SELECT family_id AS group_id, legal_entity_id, currency, {_SUMS} FROM (
    SELECT c.*, families.family_id, {_HEAD} AS head
    FROM families JOIN triage_case c ON c.group_id = families.id AND {OPEN} AND {_SEEN} OFFSET 0
) AS merged GROUP BY 1, 2, 3
"""  # noqa: S608
#: What subjects of several legal entities hold, by the oldest case that the reader may see: lines without a case.
_SHARED = f"""shared AS MATERIALIZED (
    SELECT coalesce(families.family_id, head.group_id) AS group_id, head.legal_entity_id, head.currency, head.code,
        0 AS cases, NULL::timestamptz AS oldest, NULL::timestamptz AS due_at, NULL::bigint AS first_id,
        head.held_amount AS held, (head.held_amount IS NULL)::int AS unknown, 1 AS blocking
    FROM apart CROSS JOIN LATERAL (
        SELECT * FROM triage_case c
        WHERE c.subject_kind = apart.subject_kind AND c.subject_key = apart.subject_key AND {OPEN} AND {_BLOCKS} AND {_MAY}
        ORDER BY c.id LIMIT 1
    ) AS head LEFT JOIN families ON families.id = head.group_id
    WHERE {_SEEN} AND EXISTS (
        SELECT 1 FROM triage_case o
        WHERE o.subject_kind = head.subject_kind AND o.subject_key = head.subject_key AND {OPEN} AND {_BLOCKS}
            AND o.legal_entity_id IS DISTINCT FROM head.legal_entity_id
    )
)"""  # noqa: S608
_GROUPS = f"""
WITH {_FAMILIES}, {_APART}, {_SHARED},
wanted AS ({_TOUCHED} WHERE {_WANTED} AND {_NO_FAMILY}),
lines AS (
    SELECT {_LINES} FROM triage_grouptotal t
    WHERE {_SEEN} AND {_WANTED} AND {_NO_FAMILY} AND NOT EXISTS (SELECT 1 FROM wanted WHERE wanted.group_id = t.group_id)
    UNION ALL
    SELECT live.* FROM wanted CROSS JOIN LATERAL ({_live(_SEEN)}) AS live
    UNION ALL
    SELECT * FROM ({_OF_FAMILIES}) AS family WHERE {_WANTED}
    UNION ALL
    SELECT * FROM shared WHERE {_WANTED}
)
"""  # noqa: S608

#: What is kept and what is live are other groups: each is counted by itself, the kept ones in the order of their index.
_COUNT = f"""
WITH {_FAMILIES},
wanted AS (SELECT DISTINCT group_id FROM triage_touched t WHERE {_NO_FAMILY})
SELECT (
    SELECT count(DISTINCT group_id) FROM triage_grouptotal t
    WHERE {_SEEN} AND {{limited}} AND {_NO_FAMILY} AND NOT EXISTS (SELECT 1 FROM wanted WHERE wanted.group_id = t.group_id)
) + (
    SELECT count(DISTINCT group_id) FROM (
        SELECT live.* FROM wanted CROSS JOIN LATERAL (
            SELECT group_id, code FROM triage_case c WHERE c.group_id = wanted.group_id AND {OPEN} AND {_SEEN} LIMIT 1
        ) AS live
        UNION ALL
        SELECT families.family_id, c.code FROM families CROSS JOIN LATERAL (
            SELECT code FROM triage_case c WHERE c.group_id = families.id AND {OPEN} AND {_SEEN} LIMIT 1
        ) AS c
    ) AS computed WHERE {{limited}}
)
"""  # noqa: S608

#: As ``_GROUPS``, but of groups with a single line in a currency with a rate only those that hold most: by an index.
_MOST = f"""
WITH {_FAMILIES}, {_APART}, {_SHARED},
wanted AS ({_TOUCHED} WHERE {_NO_FAMILY}),
computed AS (SELECT group_id FROM wanted UNION SELECT group_id FROM shared),
lines AS (
    SELECT most.* FROM unnest(%(rated)s::text[]) AS rated (currency) CROSS JOIN LATERAL (
        SELECT {_LINES} FROM triage_grouptotal t
        WHERE alone AND t.currency = rated.currency AND {_SEEN} AND {{limited}} AND {_NO_FAMILY}
            AND NOT EXISTS (SELECT 1 FROM computed WHERE computed.group_id = t.group_id)
        ORDER BY held DESC NULLS LAST, due_at ASC NULLS LAST, group_id LIMIT %(offset)s + %(limit)s
    ) AS most
    UNION ALL
    (SELECT {_LINES} FROM triage_grouptotal t WHERE alone AND currency = ANY(%(unrated)s::text[]) AND {_SEEN}
        AND {_NO_FAMILY} AND {{limited}} AND NOT EXISTS (SELECT 1 FROM computed WHERE computed.group_id = t.group_id)
    ORDER BY due_at ASC NULLS LAST, group_id LIMIT %(offset)s + %(limit)s)
    UNION ALL
    SELECT {_LINES} FROM triage_grouptotal t WHERE NOT alone AND {_SEEN} AND {_NO_FAMILY}
        AND NOT EXISTS (SELECT 1 FROM computed WHERE computed.group_id = t.group_id)
    UNION ALL
    SELECT near.* FROM (
        SELECT group_id FROM shared EXCEPT SELECT group_id FROM wanted EXCEPT SELECT id FROM families
    ) AS its CROSS JOIN LATERAL (
        SELECT {_LINES} FROM triage_grouptotal t WHERE t.group_id = its.group_id AND {_SEEN}
    ) AS near
    UNION ALL
    SELECT live.* FROM wanted CROSS JOIN LATERAL ({_live(_SEEN)}) AS live
    UNION ALL
    {_OF_FAMILIES}
    UNION ALL
    SELECT * FROM shared
)
"""  # noqa: S608


def answers(scope: Scope) -> bool:
    """Whether the totals know what this scope sees: they are kept by legal entity, and not by engagement."""
    return scope.everything or not scope.engagement_keys


def _seen(scope: Scope) -> dict[str, Any]:
    entities = sorted(scope.entity_ids)
    return {
        "all": scope.everything,
        "entities": entities,
        "may_all": scope.everything,
        "may_entities": entities,
    }


_HELD_RATED = f"""
WITH held AS MATERIALIZED (
    SELECT * FROM ({_HELD}) AS held (legal_entity_id, currency, total, unknown, subjects)
)
SELECT held.*, rated.base, rated.rate, rated."on" FROM held LEFT JOIN (
    {organization.RATES.format(codes="ARRAY(SELECT DISTINCT currency FROM held WHERE currency <> '')")}
) AS rated ON rated.code = held.currency ORDER BY held.legal_entity_id, held.currency
"""  # noqa: S608


def held_sums(
    scope: Scope, target: str, day: date
) -> tuple[list[dict[str, Any]], list[organization.RateLine]]:
    """Billing held by open blocking cases by legal entity and currency, each subject once: ``total``, ``unknown``,
    ``subjects``; and the rates into ``target`` that are known by ``day``. One query for both."""
    names = ("legal_entity_id", "currency", "total", "unknown", "subjects")
    found = statements.rows(_HELD_RATED, {**_seen(scope), "target": target, "day": day})
    rates = {line[1]: (line[1], *line[5:]) for line in found if line[5] is not None}
    return [dict(zip(names, line[:5], strict=True)) for line in found], list(rates.values())


_CURRENCIES = f"""
WITH RECURSIVE known AS (
    (SELECT currency FROM triage_grouptotal ORDER BY currency LIMIT 1)
    UNION ALL
    SELECT (SELECT t.currency FROM triage_grouptotal t WHERE t.currency > known.currency ORDER BY t.currency LIMIT 1)
    FROM known WHERE known.currency IS NOT NULL
),
wanted AS (SELECT DISTINCT group_id FROM triage_touched)
SELECT currency FROM known WHERE currency IS NOT NULL
UNION SELECT live.currency FROM wanted CROSS JOIN LATERAL (
    SELECT DISTINCT currency FROM triage_case c WHERE c.group_id = wanted.group_id AND {OPEN}
) AS live
"""  # noqa: S608


def currencies() -> list[str]:
    """All currencies of open cases, "" among them, by a walk over the first of each."""
    return [line[0] for line in statements.rows(_CURRENCIES, {})]


@dataclass(frozen=True)
class GroupSum:
    """One group with its lines per currency: ``(currency, held or None, unknown)``, of blocking cases only."""

    group_id: int
    cases: int
    oldest: datetime
    due_at: datetime | None
    first_id: int
    held: Sequence[tuple[str, Decimal | None, int]]


_ORDERS = {
    "money": "worth DESC NULLS LAST, due_at ASC NULLS LAST",
    "due": "due_at ASC NULLS LAST, worth DESC NULLS LAST",
    "age": "oldest ASC",
    "count": "cases DESC",
}

#: By partial index what lists leave out; few groups are in any of these states.
_STATUS = {
    "": "NOT group_id = ANY(ARRAY(SELECT id FROM triage_group WHERE state IN ('snoozed', 'ignored')))",
    "any": "true",
}
_ONLY = "group_id = ANY(ARRAY(SELECT id FROM triage_group WHERE state = %(status)s))"


@dataclass(frozen=True)
class GroupSums:
    """Groups of the open cases that a scope sees, in an order, ready for a paginator: counted, and sliced, a query each.

    ``entity_id`` is one legal entity or None. ``codes`` limits to groups of these catalogue codes, ``but`` to those of none of
    these. ``rates``: what one unit of a currency is worth. ``status`` is a state of groups; "" leaves out what is snoozed or
    ignored, ``any`` nothing.
    """

    scope: Scope
    order: str = "money"
    rates: Mapping[str, Decimal] = field(default_factory=dict)
    #: Currencies of open cases for which there is no rate.
    unrated: Collection[str] = ()
    entity_id: int | None = None
    codes: Collection[str] | None = None
    but: Collection[str] | None = None
    status: str = ""

    def count(self) -> int:
        with connection.cursor() as cursor:
            cursor.execute(_COUNT.format(limited=self._limited), self._given)
            return int(cursor.fetchone()[0])

    def page(self, first: int, last: int) -> list[GroupSum]:
        """Those from ``first`` up to ``last`` (exclusive). Two queries: which they are, and what each holds."""
        given = {**self._given, "limit": last - first, "offset": first}
        whens = []
        for number, (name, rate) in enumerate(self.rates.items()):
            whens.append(f"WHEN %(currency{number})s THEN %(rate{number})s::numeric")
            given |= {f"currency{number}": name, f"rate{number}": rate}
        worth = f"sum(held * CASE currency {' '.join(whens)} END)" if whens else "NULL::numeric"
        order = _ORDERS.get(self.order, _ORDERS["money"])
        lines = _MOST.format(limited=self._limited) if order == _ORDERS["money"] else _GROUPS
        statement = f"""{lines} SELECT group_id, sum(cases)::int AS cases, min(oldest) AS oldest, min(due_at) AS due_at,
            min(first_id) AS first_id, {worth} AS worth
            FROM lines WHERE {self._limited} GROUP BY group_id ORDER BY {order}, group_id LIMIT %(limit)s OFFSET %(offset)s
        """  # noqa: S608
        with connection.cursor() as cursor:
            cursor.execute(statement, given)
            found = cursor.fetchall()
            held = self._held(cursor, [line[0] for line in found])
        return [
            GroupSum(key, cases, oldest, due, first_id, held.get(key, []))
            for key, cases, oldest, due, first_id, _ in found
        ]

    def _held(self, cursor: Any, ids: list[int]) -> dict[int, list[tuple[str, Decimal | None, int]]]:
        """Lines of blocking cases; a group's lines in one currency under several legal entities are one."""
        statement = f"""{_GROUPS} SELECT group_id, currency, sum(held), sum(unknown)::int FROM lines
            WHERE blocking > 0 GROUP BY 1, 2 ORDER BY 1, 2
        """  # noqa: S608
        cursor.execute(statement, {**self._given, "groups": ids})
        held: dict[int, list[tuple[str, Decimal | None, int]]] = {}
        for group_id, currency, amount, unknown in cursor.fetchall():
            held.setdefault(group_id, []).append((currency, amount, unknown))
        return held

    @property
    def _limited(self) -> str:
        parts = []
        if self.codes is not None:
            parts.append("code = ANY(%(codes)s)")
        if self.but is not None:
            parts.append("NOT code = ANY(%(but)s)")
        codes = f"({' OR '.join(parts)})" if parts else "true"
        return f"{codes} AND {_STATUS.get(self.status, _ONLY)}"

    @property
    def _given(self) -> dict[str, Any]:
        seen = _seen(self.scope)
        if self.entity_id is not None:
            may = self.scope.allows(legal_entity_id=self.entity_id)
            seen |= {"all": False, "entities": [self.entity_id] if may else []}
        return {
            **seen, "status": self.status, "groups": None, "codes": list(self.codes or ()), "but": list(self.but or ()),
            "rated": list(self.rates), "unrated": list(self.unrated),
        }  # fmt: skip


# ---- Keeping ---------------------------------------------------------------------------------------------------------

_FOLD_SQL = f"""
WITH gone AS (
    DELETE FROM triage_touched WHERE id = ANY(ARRAY(SELECT id FROM triage_touched ORDER BY id LIMIT %s))
    RETURNING subject_kind, subject_key, group_id
),
subjects AS (SELECT DISTINCT subject_kind, subject_key FROM gone),
was AS (
    SELECT h.* FROM subjects s CROSS JOIN LATERAL (
        SELECT * FROM triage_heldsubject h WHERE h.subject_kind = s.subject_kind AND h.subject_key = s.subject_key LIMIT 1
    ) AS h
),
heads AS (
    SELECT s.subject_kind, s.subject_key, h.* FROM subjects s CROSS JOIN LATERAL (
        SELECT (array_agg(legal_entity_id ORDER BY id))[1] AS legal_entity_id,
            (array_agg(currency ORDER BY id))[1] AS currency, (array_agg(held_amount ORDER BY id))[1] AS amount,
            count(DISTINCT coalesce(legal_entity_id, 0)) > 1 AS shared
        FROM triage_case c
        WHERE c.subject_kind = s.subject_kind AND c.subject_key = s.subject_key AND {OPEN} AND {_BLOCKS} HAVING count(*) > 0
    ) AS h
),
put AS (
    INSERT INTO triage_heldsubject (subject_kind, subject_key, legal_entity_id, currency, amount, shared)
    SELECT subject_kind, subject_key, legal_entity_id, currency, amount, shared FROM heads
    ON CONFLICT (subject_kind, subject_key) DO UPDATE SET legal_entity_id = excluded.legal_entity_id,
        currency = excluded.currency, amount = excluded.amount, shared = excluded.shared
),
ended AS (
    DELETE FROM triage_heldsubject h USING was WHERE h.id = was.id AND NOT EXISTS (
        SELECT 1 FROM heads WHERE heads.subject_kind = was.subject_kind AND heads.subject_key = was.subject_key
    )
),
summed AS (
    INSERT INTO triage_heldtotal AS t (legal_entity_id, currency, total, unknown, subjects)
    SELECT legal_entity_id, currency, sum(total), sum(unknown), sum(subjects) FROM (
        SELECT legal_entity_id, currency, coalesce(amount, 0) AS total, (amount IS NULL)::int AS unknown, 1 AS subjects
        FROM heads WHERE NOT shared
        UNION ALL
        SELECT legal_entity_id, currency, -coalesce(amount, 0), -(amount IS NULL)::int, -1 FROM was WHERE NOT shared
    ) AS moved GROUP BY 1, 2 HAVING sum(total) <> 0 OR sum(unknown) <> 0 OR sum(subjects) <> 0
    ON CONFLICT (legal_entity_id, currency) DO UPDATE
    SET total = t.total + excluded.total, unknown = t.unknown + excluded.unknown, subjects = t.subjects + excluded.subjects
),
wanted AS (
    SELECT group_id FROM gone
    UNION SELECT near.group_id FROM subjects s CROSS JOIN LATERAL (
        SELECT group_id FROM triage_case c
        WHERE c.subject_kind = s.subject_kind AND c.subject_key = s.subject_key AND {OPEN} AND {_BLOCKS}
    ) AS near
),
lines AS (
    SELECT live.*, count(*) OVER (PARTITION BY live.group_id) = 1 AS alone
    FROM wanted CROSS JOIN LATERAL ({_live("true")}) AS live
),
unsettled AS (
    INSERT INTO triage_unsettled (group_id) SELECT g.id FROM wanted JOIN triage_group g ON g.id = wanted.group_id
    WHERE (g.state = 'resolved') = EXISTS (SELECT 1 FROM lines l WHERE l.group_id = g.id)
),
put_lines AS (
    INSERT INTO triage_grouptotal ({_LINES}, alone) SELECT {_LINES}, alone FROM lines
    ON CONFLICT (group_id, legal_entity_id, currency) DO UPDATE SET cases = excluded.cases, oldest = excluded.oldest,
        due_at = excluded.due_at, first_id = excluded.first_id, held = excluded.held, unknown = excluded.unknown,
        blocking = excluded.blocking, alone = excluded.alone
),
ended_lines AS (
    DELETE FROM triage_grouptotal t USING wanted WHERE t.group_id = wanted.group_id AND NOT EXISTS (
        SELECT 1 FROM lines l WHERE l.group_id = t.group_id AND l.currency = t.currency
            AND l.legal_entity_id IS NOT DISTINCT FROM t.legal_entity_id
    )
)
SELECT count(*) FROM gone
"""  # noqa: S608


def fold() -> int:
    """Take settled changes into the totals; returns how many. Nothing when another folder is at work."""
    return fold_in_batches(_FOLD_SQL, batch=_FOLD, lock=_LOCK)


def rebuild() -> int:
    """Forget the totals and make them again while everything goes on; figures are exact, though slow, meanwhile."""
    touch_all()
    return fold()


def touch_all() -> None:
    """Forget the totals; the folder makes them again from the cases."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [_LOCK])
        for table in ("triage_touched", "triage_heldsubject", "triage_heldtotal", "triage_grouptotal"):
            cursor.execute(f"DELETE FROM {table}")  # noqa: S608
        cursor.execute(
            f"{_TOUCH} SELECT DISTINCT {_PLACE} FROM triage_case WHERE {OPEN} ORDER BY group_id"  # noqa: S608
        )


_DRIFTS = f"""
WITH heads AS (
    SELECT DISTINCT ON (subject_kind, subject_key) legal_entity_id, currency, held_amount
    FROM triage_case WHERE {OPEN} AND {_BLOCKS} ORDER BY subject_kind, subject_key, id
),
truth AS (
    SELECT legal_entity_id, currency, sum(coalesce(held_amount, 0)) AS total,
        count(*) FILTER (WHERE held_amount IS NULL) AS unknown, count(*) AS subjects FROM heads GROUP BY 1, 2
),
told AS (SELECT * FROM ({_HELD}) AS held (legal_entity_id, currency, total, unknown, subjects)),
groups_told AS (
    {_GROUPS} SELECT group_id, currency, sum(cases) AS cases, min(oldest) AS oldest, min(due_at) AS due_at,
        min(first_id) AS first_id, sum(held) AS held, sum(unknown) AS unknown, sum(blocking) AS blocking
    FROM lines WHERE NOT group_id = ANY(ARRAY(SELECT id FROM families)) GROUP BY 1, 2
),
groups_true AS (
    SELECT group_id, currency, count(*) AS cases, min(opened_at) AS oldest, min(due_at) AS due_at, min(id) AS first_id,
        sum(held_amount) FILTER (WHERE head) AS held,
        count(*) FILTER (WHERE head AND held_amount IS NULL) AS unknown, count(*) FILTER (WHERE head) AS blocking
    FROM (
        SELECT *, {_BLOCKS} AND row_number() OVER (PARTITION BY subject_kind, subject_key, {_BLOCKS} ORDER BY id) = 1 AS head
        FROM triage_case WHERE {OPEN}
    ) AS c WHERE NOT group_id = ANY(ARRAY(SELECT id FROM triage_group WHERE family_id IS NOT NULL)) GROUP BY 1, 2
)
SELECT 'held', to_jsonb(truth), to_jsonb(told) FROM truth FULL JOIN told
    ON truth.currency = told.currency AND coalesce(truth.legal_entity_id, 0) = coalesce(told.legal_entity_id, 0)
    WHERE (truth.total, truth.unknown, truth.subjects) IS DISTINCT FROM (told.total, told.unknown, told.subjects)
UNION ALL
SELECT 'group', to_jsonb(g), to_jsonb(t) FROM groups_true g FULL JOIN groups_told t
    ON g.group_id = t.group_id AND g.currency = t.currency
    WHERE (g.cases, g.oldest, g.due_at, g.first_id, g.held, g.unknown, g.blocking)
        IS DISTINCT FROM (t.cases, t.oldest, t.due_at, t.first_id, t.held, t.unknown, t.blocking)
"""  # noqa: S608


def drifts() -> list[tuple[str, Any, Any]]:
    """``(what, true, told)`` where the figures differ from the cases, in one snapshot; an empty list means nowhere."""
    with connection.cursor() as cursor:
        cursor.execute(_DRIFTS, {**_seen(EVERYTHING), "groups": None})
        return list(cursor.fetchall())
