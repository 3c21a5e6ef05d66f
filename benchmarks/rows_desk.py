"""Lines of the desk: cases, holds, records, engagements. Public surface: :class:`DeskLines`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cached_property

from apps.triage.fingerprint import fingerprint
from benchmarks.firm import Run, Subject, Zipf
from benchmarks.rows_base import CODES, NULL, Base


class DeskLines(Base):
    """Cases with their groups and events, billing holds; what systems show; engagements."""

    # ---- triage and billing ------------------------------------------------------------------------------------------
    @cached_property
    def cases(self) -> list[tuple[int, int, Run, int]]:
        """``(id, number of its run, run, id of its group)``"""
        dice, values, groups = self.dice("cases"), Zipf(40), self.groups
        found: list[tuple[int, int, Run, int]] = []
        for transaction, run in enumerate(self.firm.runs, start=1):
            if run.problem is None:
                continue
            key = (self.firm.subjects[run.subject].entity, run.flow, run.problem, values.draw(dice))
            found.append((len(found) + 1, transaction, run, groups.setdefault(key, len(groups) + 1)))
        return found

    @cached_property
    def groups(self) -> dict[tuple[int, str, int, int], int]:
        return {}

    def group_lines(self) -> Iterator[str]:
        assert self.cases
        for (entity, flow, problem, value), number in self.groups.items():
            code, legal_entity = CODES[problem].code, self.entities[entity]
            print_ = fingerprint(
                legal_entity_id=legal_entity, flow=flow, step="check", code=code, object_type="deal", field="service_code",
                value=f"SVC-{value}",
            )  # fmt: skip
            yield (
                f"{number}\t{legal_entity}\t{print_}\t{flow}\tcheck\t{code}\tdeal\tservice_code\tSVC-{value}\t"
                f"{code} stands in the way of SVC-{value}.\t{self.at(0)}"
            )

    def case_lines(self) -> Iterator[str]:
        dice = self.dice("case lines")
        cases = self.cases
        values = {number: value for (_, _, _, value), number in self.groups.items()}
        states = (
            "open",
            "open",
            "open",
            "triaged",
            "assigned",
            "in_progress",
            "awaiting_source",
            "awaiting_approval",
        )
        second = len(self._minutes) * 60 - 3600
        for number, transaction, run, group in cases:
            subject = self.firm.subjects[run.subject]
            entity, currency, customer, engagement = self.who(subject)
            entry, value = CODES[run.problem or 0], f"SVC-{values[group]}"
            open_ = run.state != "succeeded"
            state = states[int(dice.random() * 8)] if open_ else ("resolved" if number % 20 else "waived")
            taken = state in ("assigned", "in_progress") or (open_ and number % 11 == 0)
            assignee = self.people[number % len(self.people)] if taken else NULL
            at, known = self.at(run.at), number % 9 != 0
            due = self.at(second - (number * 37 % 30) * 86_400) if open_ and number % 13 else NULL
            closed = NULL if open_ else self.at(self.ended(run))
            how = "" if open_ else ("waived" if state == "waived" else "manual")
            yield (
                f"{number}\t{entity}\tEX-{10_000 + number}\t{group}\t{transaction}\tTX-2026-{transaction:07d}\t"
                f"{self.correlation(transaction)}\t{subject.kind}\t{subject.key}\t{run.flow}\tcheck\tplan\t{entry.code}\t"
                f"{entry.severity}\tdeal\tservice_code\t{value}\t{entry.code} stands in the way of {value}.\t{{}}\t"
                f"{self.label(subject)}\t{customer}\t{engagement}\t{currency if known else ''}\t"
                f"{self.amount(run.subject) if known else NULL}\t{state}\t{assignee}\t{NULL}\t{NULL}\t{at}\t"
                f"{at}\t{due}\t{closed}\t"
                f"{how}\t0\t{at}"
            )

    def case_events(self) -> Iterator[str]:
        number = 0
        for case, transaction, run, _ in self.cases:
            ends = [("opened", "", "open", run.at)]
            if run.state == "succeeded":
                ends += [
                    ("moved", "open", "in_progress", run.at + 900),
                    ("moved", "in_progress", "resolved", self.ended(run)),
                ]
            for what, old, new, second in ends:
                number += 1
                at = self.at(second)
                yield f"{number}\t{case}\t{what}\t{old}\t{new}\t\t{NULL}\t{self.correlation(transaction)}\t{at}"

    def holds(self) -> Iterator[str]:
        number = 0
        for case, _, run, _ in self.cases:
            subject = self.firm.subjects[run.subject]
            if CODES[run.problem or 0].severity != "blocking-billing" or subject.engagement < 0:
                continue
            number += 1
            lifted = NULL if run.state != "succeeded" else self.at(self.ended(run))
            entity, _, _, engagement = self.who(subject)
            yield (
                f"{number}\t{entity}\t{engagement}\tbilling\tEX-{10_000 + case}\tcase:EX-{10_000 + case}\t"
                f"{NULL}\t{lifted}\t{NULL}\t"
                f"{self.at(run.at)}"
            )

    # ---- records and engagements -------------------------------------------------------------------------------------
    def _objects(self) -> Iterator[tuple[str, str, str, Subject]]:
        """``(kind of system, type, key, subject)`` of everything that systems show."""
        for subject in self.firm.subjects:
            match subject.kind:
                case "customer":
                    yield "crm", "customer", subject.key.partition("@")[0], subject
                    yield "erp", "customer", subject.key.partition("@")[0], subject
                case "deal":
                    yield "crm", "deal", subject.key, subject
                case "delivery":
                    yield "psa", "engagement", subject.key, subject
                    yield "erp", "engagement", subject.key, subject
                case _:
                    yield "erp", "invoice", subject.key, subject

    def records(self) -> Iterator[str]:
        for number, (system, object_type, key, subject) in enumerate(self._objects(), start=1):
            entity, currency, customer, engagement = self.who(subject)
            body = json.dumps(
                {"key": key, "name": customer, "currency": currency, "amount": self.amount(number)}
            )
            at = self.at(number % (3600 * 24 * 300))
            yield (
                f"{number}\t{self.systems[system]}\t{object_type}\t{system}-{number}\t{key}\t{entity}\t"
                f"{engagement}\t{body}\t{{}}\t"
                f"1\t{number:064x}\t\t{at}\t{at}\t\tf\t{at}"
            )

    def links(self) -> Iterator[str]:
        at = self.at(0)
        for number, (system, object_type, key, _) in enumerate(self._objects(), start=1):
            yield f"{number}\t{object_type}\t{key}\t{self.systems[system]}\t{system}-{number}\t\tpush\t{{}}\t{at}"

    def engagements(self) -> Iterator[str]:
        for subject in self.firm.subjects:
            if subject.kind != "deal":
                continue
            entity, currency, _, engagement = self.who(subject)
            number = subject.engagement
            value = self.amount(number) * 40
            yield (
                f"{number + 1}\t{engagement}\t{subject.key}\t{entity}\t{self.label(subject)}\t"
                f"crm:{subject.customer:09d}\t{currency}\t"
                f"time_and_materials\tactive\t{NULL}\t\t2026-01-01\t2026-12-31\t{value}\t{NULL}\tPO-{number}\t"
                f"MSA-{number}\t30\t"
                f"{self.at(number % 86_400)}"
            )

    def terms(self) -> Iterator[str]:
        for number in range(1, self.firm.engagements + 1):
            at = self.at(number % 86_400)
            yield f"{number}\t{number}\t0\t{number:064x}\t{{}}\t[]\t{at}\t{NULL}\t{at}"

    def accounts(self) -> Iterator[str]:
        for subject in self.firm.subjects:
            if subject.kind == "deal":
                entity, currency, _, engagement = self.who(subject)
                yield (
                    f"{subject.engagement + 1}\t{entity}\t{engagement}\tcrm:{subject.customer:09d}\t"
                    f"{currency}\t0\t{NULL}\t{self.at(0)}"
                )
