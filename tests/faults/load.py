"""Work as the world brings it: deals closed in the CRM, and signed events posted to the real web door.

Public surface: :class:`Job`, :func:`closed_deals`, :func:`notes`, :class:`Sender`, :func:`post`.
"""

from __future__ import annotations

import json
import random
import threading
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal

import requests

from apps.core import clock
from apps.demo import deals
from apps.demo.sandbox_client import SandboxControl
from tests.api.doors import deal_changed, signed
from tests.faults.site import Site
from tests.flows import acts


@dataclass
class Job:
    """One closed deal and the event that tells of it. ``statuses``: what the door answered (0 = no whole answer)."""

    deal_id: str
    name: str
    account: str
    amount: Decimal
    event_id: str
    correlation_id: str
    body: bytes
    statuses: list[int] = field(default_factory=list)
    acknowledged_at: datetime | None = None

    @property
    def acknowledged(self) -> bool:
        return self.acknowledged_at is not None


def closed_deals(
    control: SandboxControl, number: int, chance: random.Random, *, customers: int = 3, entity: str = "MER-UK"
) -> list[Job]:
    """Enter and close so many deals of fresh customers; nobody is told."""
    accounts = [_account(control, chance, entity) for _ in range(min(customers, number))]
    mark = f"{chance.getrandbits(32):08x}"
    specs = []
    for at in range(number):
        amount = Decimal(chance.randrange(1000, 90_000)) + Decimal(chance.randrange(100)) / 100
        specs.append(
            replace(
                acts.SMALL,
                name=f"{mark} deal {at}",
                entity=entity,
                lines=(deals.Line("IMP-200", amount),),
                schedule=(deals.Entry("Handover", amount),),
            )
        )
    ids = deals.enter_all(control, specs, today=clock.today())
    wanted = set(ids.values())
    contracts = {
        row["Id"]: row["ContractId"] for row in control.records("crm", "Opportunity") if row["Id"] in wanted
    }
    jobs = []
    for at, spec in enumerate(specs):
        account, deal_id = accounts[at % len(accounts)], ids[spec.name]
        control.patch("crm", "Contract", contracts[deal_id], {"AccountId": account})
        control.patch("crm", "Opportunity", deal_id, {"AccountId": account, "StageName": "Closed Won"})
        told = deal_changed(deal_id)
        told["payload"] |= {"Contracting_Entity__c": entity}
        jobs.append(
            Job(
                deal_id=deal_id,
                name=spec.name,
                account=account,
                amount=spec.amount,
                event_id=_event_id(chance),
                correlation_id=_correlation_id(chance),
                body=json.dumps(told).encode(),
            )
        )
    return jobs


def notes(number: int, chance: random.Random) -> list[Job]:
    """Signed events that ask for nothing (a task was changed in the CRM): stored as any other, and no work afterwards."""
    told = deal_changed("00TFaults")
    told["payload"]["ChangeEventHeader"]["entityName"] = "Task"
    body = json.dumps(told | {"padding": "x" * 1600}).encode()
    return [
        Job("", "", "", Decimal(0), _event_id(chance), _correlation_id(chance), body) for _ in range(number)
    ]


def _event_id(chance: random.Random) -> str:
    return f"msg_{uuid.UUID(int=chance.getrandbits(128)).hex}"


def _correlation_id(chance: random.Random) -> str:
    return str(uuid.UUID(int=chance.getrandbits(128), version=4))


_COUNTRIES = {"MER-UK": ("York", "YO1 7HH", "GB", "GBP"), "MER-US": ("Boston", "02110", "US", "USD")}


def _account(control: SandboxControl, chance: random.Random, entity: str) -> str:
    """A customer whose name is like no other's."""
    city, postcode, country, currency = _COUNTRIES[entity]
    name = " ".join(_word(chance) for _ in range(2))
    home = f"{name.lower().replace(' ', '')}.example"
    record = {
        "Name": name,
        "Website": f"https://www.{home}",
        "BillingStreet": f"{chance.randrange(1, 999)} {_word(chance)} Road",
        "BillingCity": city,
        "BillingPostalCode": postcode,
        "BillingState": "Massachusetts" if country == "US" else None,
        "BillingStateCode": "MA" if country == "US" else None,
        "BillingCountryCode": country,
        "CurrencyIsoCode": currency,
        "Payment_Terms__c": "Net 30",
        "Billing_Email__c": f"accounts@{home}",
    }
    return str(control.create("crm", "Account", record)["Id"])


def _word(chance: random.Random) -> str:
    return "".join(chance.choice("bdfgklmnprstvz") + chance.choice("aeiou") for _ in range(5)).capitalize()


def post(site: Site, job: Job, *, session: requests.Session | None = None, seconds: float = 15) -> int:
    """Bring the job's event to the door once; the status, 0 where no whole answer came."""
    headers = {"Content-Type": "application/json", "X-Correlation-Id": job.correlation_id}
    headers |= signed(job.body, event_id=job.event_id, secret=site.secret)
    try:
        answer = (session or requests).post(
            f"{site.web_url}/hooks/crm", data=job.body, headers=headers, timeout=seconds
        )
    except requests.RequestException:
        status = 0
    else:
        status = answer.status_code
    job.statuses.append(status)
    if 200 <= status < 300 and job.acknowledged_at is None:
        job.acknowledged_at = clock.now()
    return status


class Sender:
    """Posts each job's event, and again until it is acknowledged, as vendors do (``again=False``: once, and never more).

    ``threads`` at once, each ``pause`` seconds between two posts. Use as a context manager or call :meth:`join`."""

    def __init__(
        self, site: Site, jobs: Sequence[Job], *, threads: int = 2, pause: float = 0.0, again: bool = True
    ) -> None:
        self.site, self.jobs, self.pause, self.again = site, jobs, pause, again
        self.queue = list(reversed(jobs))
        self.lock = threading.Lock()
        self.ended = threading.Event()
        self.threads = [threading.Thread(target=self._send, name=f"sender-{n}") for n in range(threads)]
        for thread in self.threads:
            thread.start()

    @property
    def going(self) -> bool:
        return any(thread.is_alive() for thread in self.threads)

    @property
    def acknowledged(self) -> int:
        return sum(job.acknowledged for job in self.jobs)

    def _send(self) -> None:
        with requests.Session() as session:
            while not self.ended.is_set():
                with self.lock:
                    job = self.queue.pop() if self.queue else None
                if job is None:
                    return
                while not self.ended.is_set():
                    post(self.site, job, session=session)
                    if job.acknowledged:
                        break
                    self.ended.wait(
                        0.2
                    )  # nobody is there: a sender that went on at once would have nothing left to send
                    if not self.again:
                        break
                if self.pause:
                    time.sleep(self.pause)

    def join(self, *, seconds: float = 120) -> None:
        until = time.monotonic() + seconds
        for thread in self.threads:
            thread.join(max(0.1, until - time.monotonic()))
        self.stop()
        refused = [job for job in self.jobs if self.again and not job.acknowledged]
        assert not refused, f"{len(refused)} events found no open door within {seconds:g} s"

    def stop(self) -> None:
        self.ended.set()
        for thread in self.threads:
            thread.join(30)
