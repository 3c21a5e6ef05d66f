"""Systems lose answers, hang up, storm, forget keys and tokens: no write is made twice, none is lost."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from apps.canonical.objects import Address, Customer
from apps.connectors import services as connectors
from apps.connectors.spi import AdapterError, ErrorKind, Push
from apps.core import clock
from apps.organization import selectors as organization
from tests.faults.drill import Drill
from tests.faults.inspector import SYSTEMS
from tests.faults.load import post
from tests.faults.site import Site, orm_on

pytestmark = pytest.mark.fault
WRITES = (
    ("erp", "PUT", "/customer/"), ("erp", "PUT", "/job/"), ("erp", "PUT", "/chargeRule/"),
    ("billing", "POST", "/v1/customers"), ("crm", "PATCH", "/sobjects/"),
)  # fmt: skip
#: Kantata: neither an idempotency key nor an upsert.
UNPROTECTED = (("psa", "POST", "/workspaces"), ("psa", "POST", "/billing_milestones"))


@pytest.fixture(autouse=True)
def mended(site: Site):
    yield
    for system in SYSTEMS:
        site.control.clear_faults(system)
    site.failpoints.unlink(missing_ok=True)


def lose_answers(run: Drill, writes: Any, kinds: tuple[str, ...], number: int) -> None:
    for _ in range(number):
        system, method, path = run.chance.choice(writes)
        run.site.control.fault(
            system,
            run.chance.choice(kinds),
            method=method,
            path=path,
            times=1,
            skip=run.chance.randrange(4),
            seconds=3,
        )


def met(site: Site) -> int:
    return sum(fault["hits"] for system in SYSTEMS for fault in site.control.faults(system))


@pytest.mark.parametrize(
    ("number", "writes", "what"),
    [
        (15, WRITES, "answers of committed writes lost (idempotency key or upsert)"),
        (16, UNPROTECTED, "answers of committed writes lost (neither key nor upsert)"),
    ],
)
def test_a_committed_write_whose_answer_is_lost_is_probed_and_not_repeated(
    site: Site, drill: Callable[..., Drill], number: int, writes: Any, what: str
):
    """Faults 15 and 16. The remote commits; then the connection is reset, cut in the middle of the answer, or silent."""
    site.only("web", "worker", "beat")
    run = drill(site, number, what)
    lose_answers(run, writes, ("reset_after", "truncate", "hang_after"), 10)
    run.send(12, customers=6, pause=0.1)
    run.end(**{"answers lost": lambda: met(site)})
    assert met(site) >= 3


@pytest.mark.long_fault
def test_a_write_carried_out_after_our_probe_is_found_by_the_next_poll(
    site: Site, drill: Callable[..., Drill]
):
    """Fault 16, and what fault 7 leaves. The project system sits on writes for longer than we wait: we look, find nothing and
    write again, and then it carries out the first as well. Each such pair must be told as a case, within one poll."""
    site.only_polled("web", "worker", "beat", every=2)
    run = drill(site, 16, "writes carried out 5 s late, after our probe (neither key nor upsert)")
    for path in ("/workspaces$", "/billing_milestones$"):
        for skip in run.chance.sample(range(6), 2):
            site.control.fault("psa", "latency", method="POST", path=path, times=1, skip=skip, seconds=5)
    run.send(8, customers=4, pause=0.1)
    site.wait(lambda: met(site) == 4, what="all four writes are late")
    time.sleep(5)  # as long as it sits on them
    figure = run.end()
    assert figure.values["doubled"] >= 2, "the window was met"
    assert figure.values["of these told as a case"] == figure.values["doubled"]


@pytest.mark.long_fault
def test_connections_that_hang_break_and_drip_are_survived(site: Site, drill: Callable[..., Drill]):
    """Fault 21. Half-open connections, silence before anything was done, bodies that drip or break off, on any request."""
    site.only("web", "worker", "beat")
    run = drill(site, 21, "half-open, silent, dripping and truncated connections")
    anywhere = tuple((system, "*", ".*") for system in SYSTEMS)
    lose_answers(run, anywhere, ("reset_before", "hang_before", "slow_body", "truncate", "hang_after"), 14)
    run.send(10, customers=4, pause=0.2)
    run.end(**{"connections broken": lambda: met(site)})
    assert met(site) >= 5


def test_the_same_key_with_another_body_is_refused(site: Site, drill: Callable[..., Drill]):
    """Fault 17. The vendor refuses a second write under a used key and makes nothing; at our door the first body counts."""
    site.only("web", "worker", "beat")
    run = drill(site, 17, "same key, other body")
    with orm_on(site.database):
        connectors.forget()
        system = organization.system("billing")
        first = customer_push("Keyed Customer Ltd")
        made = connectors.push(system_id=system.pk, push=first)
        other = replace(first, body=first.body.model_copy(update={"name": "Somebody Else plc"}))
        with pytest.raises(AdapterError) as refused:
            connectors.push(system_id=system.pk, push=other)
        connectors.forget()
    assert made.external_id
    assert refused.value.kind is not ErrorKind.TRANSIENT
    held = [
        row
        for row in site.control.records("billing", "customer")
        if row["name"] in ("Keyed Customer Ltd", "Somebody Else plc")
    ]
    assert [row["name"] for row in held] == ["Keyed Customer Ltd"]

    real, decoy = run.deals(2)
    assert post(site, real) == 202
    assert post(site, replace(decoy, event_id=real.event_id)) == 200, (
        "an event id that is known is not read again"
    )
    run.end(refused=2)


def customer_push(name: str) -> Push:
    body = Customer(
        key="crm:001Faults", name=name, currency="GBP", email="accounts@keyed.example",
        billing_address=Address(line1="1 Long Lane", city="York", postal_code="YO1 7HH", country="GB"),
    )  # fmt: skip
    return Push("customer", "create", "cus-crm-001Faults", "faults-17-key", body)


def test_a_key_older_than_the_vendors_window_is_not_trusted(site: Site, drill: Callable[..., Drill]):
    """Fault 18. The worker dies between a write and its journal; the vendor forgets its idempotency keys before it is back."""
    site.only("web", "beat")
    run = drill(site, 18, "idempotency key forgotten by the vendor before the retry")
    site.failpoints.write_text("customer.sync:billing.customer:sent\n")
    worker = site.start("worker")
    with run.fault():
        run.send(1, customers=1).join()
        worker.wait(timeout=60)
    assert (site.failpoints.with_name("failpoints.hit")).read_text().split() == [
        "customer.sync:billing.customer:sent"
    ]
    with sqlite3.connect(site.sandbox.data_dir / "sandbox.sqlite3", timeout=10) as vendor:
        aged = vendor.execute(
            "UPDATE idempotency SET at = at - 90000"
        ).rowcount  # 25 hours; it keeps them for 24
    site.restart("worker")
    posts = len(site.control.requests("billing", method="POST", path="/v1/customers$"))
    run.end(**{"keys forgotten": aged})
    assert len(site.control.requests("billing", method="POST", path="/v1/customers$")) == posts, (
        "no blind retry"
    )


# ---- storms ----------------------------------------------------------------------------------------------------------


@pytest.mark.long_fault
def test_a_storm_of_429_is_waited_out_and_drains(site: Site, drill: Callable[..., Drill]):
    """Fault 19. Each system answers 429 with Retry-After 2 s, several times over."""
    site.only("web", "worker", "beat")
    run = drill(site, 19, "429 with Retry-After 2 s, six times at each system")
    for system in SYSTEMS:
        site.control.fault(
            system, "status", status=429, headers={"Retry-After": "2"}, times=6, skip=run.chance.randrange(6)
        )
    started = time.monotonic()
    run.send(12, pause=0.05)
    run.settle()
    drained = time.monotonic() - started
    over = sum(calls_over_limit(site, system, retry_after=2.0) for system in SYSTEMS)
    run.end(**{"429 met": lambda: met(site), "calls over limit": over, "drained in": f"{drained:.1f} s"})


def calls_over_limit(site: Site, system: str, *, retry_after: float) -> int:
    """Calls that were begun while the system had asked for patience; half a second is for those under way."""
    rows = [(datetime.fromisoformat(row["at"]), row["status"]) for row in site.control.requests(system)]
    storms = [at for at, status in rows if status == 429]
    after, before = timedelta(seconds=0.5), timedelta(seconds=retry_after - 0.1)
    return sum(any(one + after < at < one + before for one in storms) for at, _ in rows)


@pytest.mark.long_fault
@pytest.mark.parametrize(
    "seconds", [pytest.param(15, id="short"), pytest.param(120, id="long", marks=pytest.mark.long_fault)]
)
def test_a_storm_of_5xx_opens_the_circuit_once_and_drains(
    site: Site, drill: Callable[..., Drill], seconds: int
):
    """Fault 20. The ERP answers 503 to everything (the specified half hour is scaled down); then it is well again."""
    site.only("web", "worker", "beat")
    run = drill(site, 20, f"{seconds} s of 503 from the ERP")
    opened = site.log_count("circuit_open")
    with run.fault():
        begin = clock.now()
        site.control.fault("erp", "status", status=503, times=None)
        run.send(10, pause=0.1)
        time.sleep(seconds)
        site.control.clear_faults("erp")
    storm = [
        row
        for row in site.control.requests("erp")
        if datetime.fromisoformat(row["at"]) >= begin and row["status"] == 503
    ]
    started = time.monotonic()
    run.settle()
    run.end(
        **{
            "calls in the storm": len(storm),
            "circuit said open": site.log_count("circuit_open") - opened,
            "drained in": f"{time.monotonic() - started:.1f} s",
        }
    )
    # Five failures in a row open it, with at most five calls under way; then one probe after 5, 10, 20, 40 and 60 s.
    assert len(storm) <= 5 + 5 + 2 + seconds // 5


@pytest.mark.long_fault
def test_expired_tokens_are_renewed_once_a_process(site: Site, drill: Callable[..., Drill]):
    """Fault 33. Both OAuth systems forget every token while two pumps with four threads each call them."""
    site.only("web", "worker", "beat")
    run = drill(site, 33, "all tokens expired under load, three times")
    run.send(20, customers=8, pause=0.1)
    refreshed = []
    for share in (0.1, 0.35, 0.6):
        run.wait_for(share)
        with run.fault():
            at = clock.now()
            for system in ("crm", "erp"):
                site.control.expire_tokens(system)
        time.sleep(2)
        refreshed += [minted(site, system, since=at, seconds=2) for system in ("crm", "erp")]
    run.end(**{"refreshes at most": max(refreshed), "processes with pumps": 2})
    assert max(refreshed) <= 2, "one a process"
    assert sum(refreshed) >= 2


def minted(site: Site, system: str, *, since: datetime, seconds: float) -> int:
    rows = site.control.requests(system, method="POST", path="/token")
    return sum(
        since <= datetime.fromisoformat(row["at"]) <= since + timedelta(seconds=seconds) for row in rows
    )
