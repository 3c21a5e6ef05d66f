"""Every write of a provisioning meets a fault of the network or of the vendor; nothing is lost, nothing is doubled.

The emulated systems do the failing, over real sockets: resets before and after the commit, silence, truncated answers,
limits, refused tokens, missing permissions.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

import pytest

from apps.connectors import services as connectors
from apps.connectors.models import Connection
from apps.journal import selectors as journal
from apps.organization import selectors as organization
from apps.sync import apply
from apps.sync import services as sync
from apps.sync.models import Action
from tests.flows import acts
from tests.flows.bench import Bench

#: Every request by which a provisioning changes something: ``(system, method, path, how many)``.
WRITES = (
    ("erp", "PUT", "/customer/", 1),
    ("erp", "PUT", "/billingRateCard/", 1),
    ("erp", "PUT", "/billingSchedule/", 1),
    ("erp", "PUT", "/job/", 1),
    ("erp", "PUT", "/chargeRule/", 2),
    ("psa", "POST", "/rate_card_sets", 1),
    ("psa", "POST", "/rate_cards", 1),
    ("psa", "POST", "/rate_card_roles", 1),
    ("psa", "POST", "/workspaces", 1),
    ("psa", "POST", "/billing_milestones", 2),
    ("billing", "POST", "/v1/customers", 1),
    ("crm", "PATCH", "/sobjects/Account/", 1),
    ("crm", "PATCH", "/sobjects/Eng_Status__c/", 1),
)
#: One write of each system, where each fault costs a second.
ONE_EACH = (
    ("erp", "PUT", "/customer/", 1),
    ("psa", "POST", "/workspaces", 1),
    ("billing", "POST", "/v1/customers", 1),
    ("crm", "PATCH", "/sobjects/Eng_Status__c/", 1),
)
#: Sent once and then answered for by the probe: the actions of ``WRITES`` that are a single request.
SINGLE = {
    "erp.customer", "erp.rate_card", "erp.billing_schedule", "erp.project", "psa.project", "billing.customer", "crm.status",
}  # fmt: skip
#: A customer is looked for by its key before it is created; what the lost write made is then linked.
FOUND = {"erp.customer": "linked"}


@pytest.fixture(autouse=True)
def mended(bench: Bench) -> Iterator[None]:
    yield
    bench.clear_faults()


def arm(bench: Bench, kind: str, writes: Any = WRITES, **more: Any) -> int:
    for system, method, path, times in writes:
        bench.control.fault(system, kind, method=method, path=path, times=times, **more)
    return sum(times for *_, times in writes)


def provisioned_once(bench: Bench, before: dict[str, int], deal_id: str) -> None:
    """Every fault was met, each write counts once, each object stands once, and nothing waits for a person."""
    armed = [fault for system in ("crm", "erp", "psa", "billing") for fault in bench.control.faults(system)]
    assert [fault["match"] for fault in armed if not fault["spent"]] == []
    assert bench.added(before) == acts.PLATFORM_OBJECTS
    assert bench.provisioning(deal_id).state == "succeeded"
    written = bench.written(*bench.of_deal(deal_id))
    assert set(written.values()) == {1}, written
    assert bench.cases(f"crm:{deal_id}", state="open") == []


def outcomes(bench: Bench, deal_id: str, name: str) -> list[str]:
    return [word for action, word in bench.attempts(*bench.of_deal(deal_id)) if action == name]


@pytest.mark.parametrize("kind", ["reset_after", "truncate"])
def test_a_write_whose_answer_is_lost_is_found_by_its_key_and_never_sent_twice(bench: Bench, kind: str):
    before = bench.objects()
    arm(bench, kind)
    deal_id = bench.win(acts.PLATFORM)
    provisioned_once(bench, before, deal_id)
    if kind == "reset_after":
        for name in SINGLE:
            assert outcomes(bench, deal_id, name) == ["unknown", FOUND.get(name, "found")], name
        ids = [one.id for one in bench.of_deal(deal_id)]
        lost = Action.objects.filter(transaction_id__in=ids, outcome="unknown")
        assert set(lost.values_list("code", flat=True)) == {"PRJ-PARTIAL"}, "none of them is an invoice"


def test_a_vendor_that_commits_and_falls_silent_is_probed(bench: Bench):
    before = bench.objects()
    arm(bench, "hang_after", ONE_EACH, seconds=5)
    deal_id = bench.win(acts.PLATFORM)
    provisioned_once(bench, before, deal_id)
    for name in ("erp.customer", "psa.project", "billing.customer", "crm.status"):
        assert outcomes(bench, deal_id, name) == ["unknown", FOUND.get(name, "found")], name


def test_a_write_that_never_arrived_is_sent_again(bench: Bench):
    before = bench.objects()
    arm(bench, "reset_before")
    deal_id = bench.win(acts.PLATFORM)
    provisioned_once(bench, before, deal_id)
    for name in SINGLE:
        assert outcomes(bench, deal_id, name) == ["unknown", "succeeded"], name


def test_a_run_that_breaks_off_behind_its_write_is_probed_by_the_next_one(bench: Bench, monkeypatch: Any):
    """The steps before it come out as unchanged; they do not use the probe up."""
    before = bench.objects()
    broken: list[str] = []

    def reach(name: str) -> None:
        if name.startswith("project.provision:erp.project:sent") and not broken:
            broken.append(name)
            raise RuntimeError("the worker breaks off here")

    monkeypatch.setattr(apply, "reach", reach)
    deal_id = bench.win(acts.PLATFORM)
    assert broken
    provisioned_once(bench, before, deal_id)
    assert outcomes(bench, deal_id, "erp.project") == ["found"]


@pytest.mark.parametrize("step", ["engagement", "announce", "crm.status"])
def test_a_run_that_breaks_off_between_two_steps_leaves_none_of_them_out(
    bench: Bench, monkeypatch: Any, step: str
):
    before = bench.objects()
    broken: list[str] = []

    def reach(name: str) -> None:
        if name == f"deal.provision:{step}:journaled" and not broken:
            broken.append(name)
            raise RuntimeError("the worker breaks off here")

    monkeypatch.setattr(apply, "reach", reach)
    deal_id = bench.win(acts.PLATFORM)
    assert broken
    provisioned_once(bench, before, deal_id)
    key = bench.provisioning(deal_id).engagement_key
    assert len(journal.announced(subject=key, type="psasync.engagement.provisioned.v1")) == 1


def test_a_busy_system_is_asked_again(bench: Bench):
    before = bench.objects()
    arm(bench, "status", status=503)
    deal_id = bench.win(acts.PLATFORM)
    provisioned_once(bench, before, deal_id)


def test_a_system_that_did_it_and_says_503_is_probed(bench: Bench):
    before = bench.objects()
    arm(bench, "status_after", ONE_EACH, status=503)
    deal_id = bench.win(acts.PLATFORM)
    provisioned_once(bench, before, deal_id)


def test_retry_after_is_waited_for(bench: Bench):
    before = bench.objects()
    writes = (*ONE_EACH[:1], *ONE_EACH[2:3])
    arm(bench, "status", writes, status=429, headers={"Retry-After": "1"})
    deal_id = bench.win(acts.PLATFORM)
    provisioned_once(bench, before, deal_id)
    for system, method, path, _ in writes:
        asked = bench.control.requests(system, method=method, path=path)[-2:]
        assert asked[0]["status"] == 429
        assert seconds_between(*asked) >= 1


def seconds_between(first: dict[str, Any], second: dict[str, Any]) -> float:
    at = [datetime.fromisoformat(one["at"].replace("Z", "+00:00")) for one in (first, second)]
    return (at[1] - at[0]).total_seconds()


def test_salesforces_daily_limit_is_a_pause_and_not_a_refusal(bench: Bench):
    before = bench.objects()
    body = [{"errorCode": "REQUEST_LIMIT_EXCEEDED", "message": "TotalRequests Limit exceeded."}]
    bench.control.fault("crm", "status", method="PATCH", path="/sobjects/", status=403, body=body, times=2)
    deal_id = bench.win(acts.PLATFORM)
    provisioned_once(bench, before, deal_id)
    assert ("INT-PERM", "open") not in bench.cases()


def test_an_answer_that_trickles_in_is_waited_for(bench: Bench):
    before = bench.objects()
    for system, times in (("crm", 3), ("erp", 3), ("psa", 3), ("billing", 1)):
        bench.control.fault(system, "slow_body", path=".*", times=times, seconds=0.4)
    deal_id = bench.win(acts.PLATFORM)
    provisioned_once(bench, before, deal_id)


def test_truncated_reads_are_read_again(bench: Bench):
    before = bench.objects()
    for system, path in (("crm", "/query"), ("erp", "/suiteql"), ("psa", "/rate_card"), ("billing", "/v1/")):
        bench.control.fault(system, "truncate", path=path, times=1)
    deal_id = bench.deal(acts.PLATFORM)
    bench.close(deal_id)
    bench.poll(("crm", "deal"))
    bench.poll(("crm", "deal"))  # the first poll itself may have met the fault
    provisioned_once(bench, before, deal_id)


# ---- log-in and permission -------------------------------------------------------------------------------------------


def tokens_asked(bench: Bench, system: str) -> int:
    return len(bench.control.requests(system, method="POST", path="/token"))


def test_an_expired_token_is_renewed_once_and_nobody_notices(bench: Bench):
    bench.win(acts.PLATFORM)
    before = bench.objects()
    asked = {system: tokens_asked(bench, system) for system in ("crm", "erp")}
    for system in asked:
        bench.control.expire_tokens(system)
    deal_id = bench.win(acts.PLATFORM)
    provisioned_once(bench, before, deal_id)
    assert {s: tokens_asked(bench, s) - asked[s] for s in asked} == {"crm": 1, "erp": 1}
    assert all(word == "succeeded" for _, word in bench.attempts(*bench.of_deal(deal_id)))


def test_a_401_on_a_write_is_answered_with_a_fresh_token(bench: Bench):
    before = bench.objects()
    body = {"title": "Unauthorized", "status": 401, "o:errorDetails": [{"o:errorCode": "INVALID_LOGIN"}]}
    bench.control.fault("erp", "status", method="PUT", path="/job/", status=401, body=body, times=1)
    asked = tokens_asked(bench, "erp")
    deal_id = bench.win(acts.PLATFORM)
    provisioned_once(bench, before, deal_id)
    assert tokens_asked(bench, "erp") == asked + 1
    assert outcomes(bench, deal_id, "erp.project") == ["succeeded"]


@pytest.mark.provokes("INT-PERM")
def test_a_missing_permission_waits_for_the_administrator(bench: Bench):
    before = bench.objects()
    bench.control.fault("psa", "status", method="POST", path="/workspaces", status=403, times=None)
    deal_id = bench.win(acts.PLATFORM)
    project = bench.transaction("project", f"crm:{deal_id}", "project.provision")
    assert (project.state, bench.provisioning(deal_id).state) == ("held", "waiting")
    assert bench.cases(f"crm:{deal_id}") == [("INT-PERM", "open")]
    assert "psa workspaces" not in bench.added(before)

    bench.clear_faults()
    answer = sync.replay(transaction_ids=[project.id], by=acts.person("leo"), why="Permission granted.")
    assert answer["replayed"] == [project.id]
    bench.settle()
    provisioned_once(bench, before, deal_id)
    assert bench.cases(f"crm:{deal_id}") == [("INT-PERM", "resolved")]


@pytest.mark.provokes("INT-AUTH")
def test_a_revoked_key_holds_until_it_is_renewed(bench: Bench):
    before = bench.objects()
    bench.control.expire_tokens("billing")
    deal_id = bench.win(acts.PLATFORM)
    account = bench.control.records("crm", "Opportunity", Id=deal_id)[0]["AccountId"]
    key = f"crm:{account}@erp"
    customer = bench.transaction("customer", key, "customer.sync")
    assert customer.state == "held"
    assert bench.cases(key) == [("INT-AUTH", "open")]

    system = organization.system("billing")
    row = Connection.objects.get(system=system)
    fresh = "sk_test_renewed"
    bench.control.credentials("billing", api_key=fresh)
    connectors.connection_set(
        system=system, base_url=row.base_url, config=row.config, secrets={"api_key": fresh}
    )
    sync.replay(transaction_ids=[customer.id], by=acts.person("leo"), why="Key renewed.")
    bench.settle()
    provisioned_once(bench, before, deal_id)
    assert bench.cases(key) == [("INT-AUTH", "resolved")]
