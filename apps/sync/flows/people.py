"""Who has worked for an engagement and what the group's ERPs know of them. Nothing is written; people are told beside.

Public surface: :func:`workers` and :func:`directory` (for a gather), :func:`people_problems` (pure), :class:`Worker`.

People are matched by e-mail address, the one thing that both sides verify. The ERPs' employees are read every hour
(:mod:`apps.sync.flows.catalogue`); where no ERP has shown any, nobody is looked up.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from apps.organization import selectors as organization
from apps.records import selectors as records
from apps.sync.plans import Problem

#: What is still to be approved by or for a person.
OPEN_TIME = frozenset({"draft", "submitted", "rejected"})


@dataclass(frozen=True)
class Worker:
    """Somebody with time on the engagement. ``email`` "": the project system has none; ``waiting``: with open time."""

    name: str
    email: str
    waiting: bool


def workers(engagement_key: str) -> tuple[Worker, ...]:
    """Everybody whose time the project system has shown of this engagement, by name. One query."""
    found: dict[tuple[str, str], bool] = {}
    for name, email, status in records.distinct_of_engagement(
        engagement_key, "time_entry", ("body__person", "facts__email", "body__status")
    ):
        if email is not None:  # entries that were seen before the address was read tell nothing
            at = (str(name), str(email))
            found[at] = found.get(at, False) or status in OPEN_TIME
    return tuple(Worker(name, email, waiting) for (name, email), waiting in sorted(found.items()))


def directory(emails: Iterable[str]) -> dict[str, bool] | None:
    """E-mail address → whether an ERP of the group has it as an active employee; None where no ERP has shown employees."""
    ids = [system.pk for system in organization.systems(kind="erp")]
    if not records.any_of_type(ids, "employee"):
        return None
    known: dict[str, bool] = {}
    for row in records.with_values(ids, "employee", "email", sorted({one for one in emails if one})):
        known[row.body["email"]] = known.get(row.body["email"], False) or bool(row.body["active"])
    return known


def people_problems(
    found: Iterable[Worker], known: Mapping[str, bool] | None, *, psa: str, erp: str
) -> tuple[Problem, ...]:
    """``RES-UNMAPPED`` and ``RES-INACTIVE``, one a person."""
    if known is None:
        return ()
    problems = []
    for one in found:
        who = f"{one.name} ({one.email})" if one.email else f"{one.name} (no e-mail address)"
        if one.email not in known:
            reason = f"{who} has booked time in {psa}; {erp} has no employee with this address."
            problems.append(_problem("RES-UNMAPPED", one, reason))
        elif one.waiting and not known[one.email]:
            reason = f"{who} has time in {psa} that is not approved yet; {erp} has this employee as inactive."
            problems.append(_problem("RES-INACTIVE", one, reason))
    return tuple(problems)


def _problem(code: str, one: Worker, reason: str) -> Problem:
    # The client's bill does not wait for it.
    params = {"person": one.name, "email": one.email, "held": "0"}
    return Problem(code, "people", "employee", "email", one.email or one.name, reason, params)
