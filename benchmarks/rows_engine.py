"""Lines of the engine and the journal. Public surface: :class:`EngineLines`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from functools import cached_property

from apps.sync import payloads
from apps.sync.flows.names import PRIORITIES
from benchmarks.firm import FLOWS, OPEN, Run, Zipf
from benchmarks.rows_base import CODES, NULL, WORKS, Base

#: One more exchange for so many actions is new; the others repeat one.
_BODIES = 10


class EngineLines(Base):
    """Subjects, transactions, plans, actions, payloads; audit, inbox, outbox."""

    # ---- sync --------------------------------------------------------------------------------------------------------
    def subjects(self) -> Iterator[str]:
        due: dict[int, str] = {}
        for run in self.firm.runs:
            if run.state in ("pending", "running", "retrying"):
                due[run.subject] = self.at(run.at)
        for number, subject in enumerate(self.firm.subjects):
            entity, _, _, engagement = self.who(subject)
            urgency = min(PRIORITIES[flow] for flow, (kind, _) in FLOWS.items() if kind == subject.kind)
            yield (
                f"{number + 1}\t{subject.kind}\t{subject.key}\t{entity}\t{engagement}\t{urgency}\t"
                f"{due.get(number, NULL)}\t{NULL}\t{1 + number % 7}\t\t0\t{self.at(0)}"
            )

    def transactions(self) -> Iterator[str]:
        for number, run in enumerate(self.firm.runs, start=1):
            subject = self.firm.subjects[run.subject]
            entity, currency, customer, engagement = self.who(subject)
            code = CODES[run.problem].code if run.problem is not None else ""
            reason = f"{code}: stopped at the step it names." if code and run.state != "succeeded" else ""
            finished = NULL if run.state in OPEN else self.at(self.ended(run))
            wait = self.at(run.at + 300) if run.state == "retrying" else NULL
            yield (
                f"{number}\tTX-2026-{number:07d}\t{entity}\t{engagement}\t{run.subject + 1}\t{run.flow}\t"
                f"{run.state}\t{{}}\tcrm\t"
                f"{self.correlation(number)}\t{self.label(subject)}\t{customer}\tcrm:{subject.customer:09d}\t{currency}\t"
                f"{self.amount(run.subject)}\t{reason}\t\t{2 if wait != NULL else 0}\tf\t{wait}\t{self.at(run.at)}\t"
                f"{self.at(run.at + 1)}\t{finished}"
            )

    def dependencies(self) -> Iterator[str]:
        """Who waits, waits for a transaction that is held."""
        held = [number for number, run in enumerate(self.firm.runs, start=1) if run.state == "held"]
        waiting = (number for number, run in enumerate(self.firm.runs, start=1) if run.state == "waiting")
        for number, parent in enumerate(waiting, start=1):
            yield f"{number}\t{parent}\t{held[number * 31 % len(held)]}\tchild.customer"

    def plans(self) -> Iterator[str]:
        shapes = {
            flow: json.dumps([_planned(flow, n) for n in range(steps)]) for flow, (_, steps) in FLOWS.items()
        }
        for number, run in enumerate(self.firm.runs, start=1):
            problems = "[]"
            if run.problem is not None and run.state != "succeeded":
                code = CODES[run.problem].code
                problems = json.dumps(
                    [{"code": code, "step": "check", "reason": f"{code} stands in the way."}]
                )
            at = self.at(run.at + 1)
            yield f"{number}\t{number}\t{number:064x}\t{shapes[run.flow]}\t{problems}\t{number % 40}\t{at}\t{at}"

    def actions(self) -> Iterator[str]:
        pool, dice = self.bodies, self.dice("actions")
        likely = Zipf(max(1, len(pool) // 12), 0.4)
        number = 0
        for transaction, run in enumerate(self.firm.runs, start=1):
            if run.state in ("pending", "waiting", "suggested"):
                continue
            subject = self.firm.subjects[run.subject]
            entity = self.entities[subject.entity]
            steps = 1 if run.problem is not None and run.state != "succeeded" else FLOWS[run.flow][1]
            bodies = self._by_month[self.at(run.at)[:7]]
            for step in range(1 if self.thin else steps):
                number += 1
                failed = steps == 1 and run.state in ("held", "dead")
                code = CODES[run.problem].code if failed and run.problem is not None else ""
                at = self.at(run.at + 1 + step)
                digest = bodies[likely.draw(dice) % len(bodies)]
                yield (
                    f"{number}\t{at}\t{entity}\t{transaction}\t{transaction}\t{step + 1}\t{run.flow}.{step}\t"
                    f"erp\t{subject.kind}\t"
                    f"create\t{subject.key}\t{number}\t{number:064x}\t{'failed' if failed else 'succeeded'}\t"
                    f"{'rejected' if failed else ''}\t{code}\tWrites it.\t\t{at}\t{90 + number % 400}\t{1 + number % 7}\t"
                    f"{self.correlation(transaction)}\t{NULL}\t\\\\x{digest}"
                )

    @cached_property
    def bodies(self) -> list[tuple[str, str, str]]:
        """``(first of month, digest, body)``: real exchanges, packed as the product packs them."""
        dice, made = self.dice("bodies"), set()
        span = (self.firm.until - self.firm.since).total_seconds()
        seconds = [
            dice.random() ** 0.7 * span
            for _ in range(24 if self.thin else max(24, self.firm.rows * 2 // _BODIES))
        ]
        # Every month that an action falls into has one at least.
        seconds += range(0, int(span) + 86_400 * 32, 86_400 * 14)
        for number, second in enumerate(seconds):
            packed = payloads.packed(_exchange(number), self.firm.since + timedelta(seconds=second))
            if packed.digest is not None and packed.body is not None:
                made.add((packed.month.isoformat(), packed.digest.hex(), packed.body.hex()))
        return sorted(made)

    @cached_property
    def _by_month(self) -> dict[str, list[str]]:
        months: dict[str, list[str]] = {}
        for month, digest, _ in self.bodies:
            months.setdefault(month[:7], []).append(digest)
        return months

    def stored(self) -> Iterator[str]:
        for month, digest, body in self.bodies:
            yield f"{month}\t\\\\x{digest}\t\\\\x{body}"

    # ---- journal -----------------------------------------------------------------------------------------------------
    def audit(self) -> Iterator[str]:
        for number, run in enumerate(self.firm.runs, start=1):
            subject = self.firm.subjects[run.subject]
            entity, _, _, engagement = self.who(subject)
            tail = f"{entity}\t{engagement}"
            correlation = self.correlation(number)
            ref = f"transaction\tTX-2026-{number:07d}\t{NULL}\t"
            made = json.dumps({"flow": run.flow, "subject": subject.key})
            yield f"{self.at(run.at)}\ttransaction.created\t{ref}\t{tail}\t{NULL}\t{made}\t\t{correlation}"
            if run.state == "pending" or self.thin:
                continue
            begun = '{"state": "pending"}\t{"state": "running"}'
            yield f"{self.at(run.at + 1)}\ttransaction.running\t{ref}\t{tail}\t{begun}\t\t{correlation}"
            if run.state != "running":
                moved = f'{{"state": "running"}}\t{{"state": "{run.state}"}}'
                at = self.at(self.ended(run))
                yield f"{at}\ttransaction.{run.state}\t{ref}\t{tail}\t{moved}\t\t{correlation}"

    def _received(self) -> Iterator[tuple[int, int, Run]]:
        """``(id, number of its run, run)``: what systems told; three of five runs begin so."""
        number = 0
        for transaction, run in enumerate(self.firm.runs, start=1):
            if transaction % 10 == 0 if self.thin else transaction % 5 < 3:
                number += 1
                yield number, transaction, run

    def keys(self) -> Iterator[str]:
        for number, _, run in self._received():
            yield f"{number}\tcrm\tevt-{number:012d}\t{self.at(run.at)}"

    def inbox(self) -> Iterator[str]:
        body = (
            json.dumps({"payload": {"ChangeEventHeader": {"entityName": "Opportunity"}}, "note": "x" * 300})
            .encode()
            .hex()
        )
        latest = self.firm.rows // 10 if self.thin else self.firm.rows * 3 // 5
        for number, transaction, run in self._received():
            at = self.at(run.at)
            dead = number % 5_000 == 0
            done = NULL if dead or number > latest - 500 else self.at(run.at + 1)
            changes = json.dumps([{"object_type": "deal", "external_id": str(transaction)}])
            yield (
                f"{number}\t{at}\tcrm\tevt-{number:012d}\t{NULL}\t{{}}\t\\\\x{body}\t{changes}\t"
                f"{self.correlation(transaction)}\t"
                f"{10 if dead else 0}\t{at}\t\t{done}\t{at if dead else NULL}"
            )

    def outbox(self) -> Iterator[str]:
        for number in range(1, self.firm.rows * 3 // 20 + 1):
            run = self.firm.runs[number * 6]
            subject = self.firm.subjects[run.subject]
            event = f"{number:08x}-0b0b-4000-8000-{number:012x}"
            at = self.at(run.at)
            yield (
                f"{number}\t{event}\tpssync.sync.finished\t{subject.key}\t{{}}\t{self.entities[subject.entity]}\t"
                f"{self.correlation(number * 6 + 1)}\t{NULL}\t{at}\t{at}"
            )

    def deliveries(self) -> Iterator[str]:
        """Two receivers; the newest announcements are still to be delivered, a few were given up."""
        most = self.firm.rows * 3 // 20
        for number in range(1, most + 1):
            at = self.at(self.firm.runs[number * 6].at)
            for receiver in (1, 2):
                waits, dead = number > most - 200, number % 7_000 == 0
                done = NULL if waits or dead else at
                yield (
                    f"{number * 2 + receiver - 2}\t{number}\t{receiver}\t1\t{at}\t{NULL}\t{NULL}\t{NULL}\t\t{done}\t"
                    f"{at if dead and not waits else NULL}\t{at}"
                )


def _planned(flow: str, number: int) -> dict[str, object]:
    return {
        "name": f"{flow}.{number}", "kind": "push", "why": "It is not there yet.", "system": "erp", "object_type": "project",
        "operation": "create", "key": "k", "fields": ["name", "currency", "start_on"], "changes": [],
    }  # fmt: skip


def _exchange(number: int) -> dict[str, object]:
    return {
        "method": "PUT",
        "url": f"https://erp.example/services/rest/record/v1/job/eid:ENG-2026-{number:06d}",
        "request": {
            "companyName": f"{WORKS[number % 6]} {number}",
            "currency": {"id": "1"},
            "parent": {"id": str(number)},
        },
        "status": 204,
        "response": None
        if number % 3
        else {"id": str(number * 7), "links": [], "created": "2026-11-25T10:00:00Z"},
    }
