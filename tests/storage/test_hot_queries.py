"""Every hot query on a million transactions goes by an index: the plans of the statements that the product really sends.

The statements are captured from the services, selectors and screens themselves, and explained. Refused is a sequential scan
of any table with more than ten thousand rows; of lists also a page far back that reads more than twice what the first does.
"""

from __future__ import annotations

import re
import time
import uuid
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection, reset_queries, transaction
from django.test import Client
from django.test.utils import CaptureQueriesContext

from apps.core import clock
from apps.core.keyset import page_by_key
from apps.core.scope import EVERYTHING, Scope
from apps.journal import delivery as outbox
from apps.journal import selectors as journal_reads
from apps.journal import services as journal
from apps.journal.counters import counters, totals
from apps.journal.counters import fold as counters_fold
from apps.journal.retention import retire
from apps.organization.models import LegalEntity, System, User
from apps.sync import engine, leases, ledger, queue, runs
from apps.sync import selectors as sync
from apps.sync.models import TRANSACTIONS, Transaction
from apps.sync.plans import PlannedAction
from apps.triage import rollups
from apps.triage import selectors as triage
from benchmarks import data

pytestmark = pytest.mark.slow(minutes=2)

ROWS = 1_000_000
BIG = 10_000
#: One row a cause: the list of all causes in an order that no index has is computed from the whole of it.
ROLLUPS = {"triage_grouptotal"}
TABLES = frozenset(
    {
        "sync_subject", "sync_transaction", "sync_dependency", "sync_action", "triage_group", "triage_case",
        "journal_audit", "journal_inbox",
        "journal_inboxkey", "journal_outbox", "journal_delivery", "billing_hold", "commercial_engagement",
        "commercial_termsversion", "billing_billingaccount",
    }
)  # fmt: skip


@pytest.fixture(scope="module")
def big(module_database, django_db_blocker) -> Iterator[set[str]]:
    """The tables that must not be read whole."""
    with django_db_blocker.unblock():
        data.fill(rows=ROWS, seed=5, tables=TABLES, thin=True)
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT relname FROM pg_class WHERE relkind IN ('r', 'p') AND reltuples > %s", [BIG]
            )
            found = {row[0] for row in cursor.fetchall()} - ROLLUPS
        assert {
            "sync_transaction",
            "sync_subject",
            "triage_case",
            "journal_audit",
            "journal_delivery",
        } <= found
        yield found


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for child in plan.get("Plans", []):
        yield from nodes(child)


def explained(sql: str, options: str = "") -> dict[str, Any]:
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN (FORMAT JSON{options}) {sql}")
        return cursor.fetchone()[0][0]["Plan"]


def captured(work: Callable[[], Any]) -> list[str]:
    reset_queries()  # the log holds 9,000 at most, and forgets the oldest
    with CaptureQueriesContext(connection) as seen:
        work()
    assert len(seen) < 9_000
    return [
        query["sql"]
        for query in seen.captured_queries
        if re.match(r"\s*(SELECT|WITH|INSERT|UPDATE|DELETE)\b", query["sql"])
    ]


def scans(work: Callable[[], Any], big: set[str]) -> list[str]:
    """Sequential scans of big tables in what ``work`` sends; it must send something."""
    statements = captured(work)
    assert statements
    return scanned(statements, big)


def scanned(statements: list[str], big: set[str]) -> list[str]:
    found = []
    for sql in statements:
        for node in nodes(explained(sql)):
            if node["Node Type"] == "Seq Scan" and node["Relation Name"] in big:
                found.append(f"{node['Relation Name']}: {' '.join(sql.split())[:300]}")
    return found


def read_blocks(sql: str) -> int:
    plan = explained(sql, ", ANALYZE, BUFFERS")
    return plan["Shared Hit Blocks"] + plan["Shared Read Blocks"]


def test_suspects_are_found_by_their_own_index(big):
    """Few among a million: the index of everything that is ready would be read to its end."""
    [claim] = captured(lambda: leases.claim_suspect())
    used = {node.get("Index Name") for node in nodes(explained(claim))}
    assert "sync_subject_suspects" in used
    assert "sync_subject_lanes" not in used


def test_a_sequential_scan_is_found(big):
    assert scans(lambda: list(Transaction.objects.filter(reason="no index knows it")[:1]), big)
    assert not scans(lambda: list(Transaction.objects.filter(pk=1)), big)


# ---- The engine ------------------------------------------------------------------------------------------------------


def _claimed() -> leases.Lease:
    return leases.claim(limit=1)[0]


def _in_transaction(work: Callable[[], Any]) -> None:
    with transaction.atomic():
        work()


def _one() -> Transaction:
    return Transaction.objects.filter(state="held").select_related("subject").order_by("-id")[0]


def _a_run() -> None:
    """From its beginning over an outcome to its end."""
    lease = _claimed()
    begun = runs.begin(lease)
    assert begun is not None
    action = PlannedAction(
        "erp.project", "push", "why", 1, "erp", "engagement", "create", begun.transaction.ref
    )
    system_id = System.objects.order_by("id").values_list("id", flat=True)[0]
    link = {
        "object_type": "engagement",
        "key": begun.transaction.ref,
        "system_id": system_id,
        "linked_by": "push",
    }
    entry = ledger.Entry("succeeded", clock.now(), external_id="X-1", exchange={"url": "/x"})
    made = link | {"external_id": "X-1", "evidence": {}}
    ledger.append(lease, begun.transaction, None, 1, action, entry, link=made)
    _in_transaction(lambda: ledger.append(lease, begun.transaction, None, 2, action, entry, link=made))
    runs.succeed(lease, begun.transaction, reason="Done.")


def _seal_what_came_since() -> None:
    """A seal takes whole transactions, those that loaded the firm fill a month each; they are taken as sealed."""
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO journal_seal (created_at, xid_from, xid_to, row_count, first_at, leaves, previous, digest)"
            " SELECT now(), '0', pg_snapshot_xmin(pg_current_snapshot()), 0, now(), '', '', ''"
            " WHERE NOT EXISTS (SELECT FROM journal_seal)"
        )
    for number in range(3):
        journal.record(verb="test.said", object_type="test", object_ref=f"T-{number}", legal_entity_id=None)
    # What is open anywhere on the server, also in another test's database, may still write what belongs before.
    until = time.monotonic() + 60
    while not journal.seal_batch(limit=500):
        assert time.monotonic() < until
        time.sleep(0.1)


ENGINE: dict[str, Callable[[], Any]] = {
    "claim": lambda: leases.claim(limit=100),
    "claim a suspect": lambda: leases.claim_suspect(),
    "a run": _a_run,
    "renew and release": lambda: [leases.renew(lease := _claimed()), leases.release(lease)],
    "ask for work": lambda: queue.enqueue(
        kind="deal", key=_one().subject.key, flow="deal.provision", trigger="test", params={"x": 1}
    ),
    "settled steps": lambda: ledger.settled_names(_one().id),
    "was it ever sent": lambda: ledger.was_settled(kind="invoice", key="PB-70", name="billing.invoice.send"),
    "last content": lambda: ledger.last_key(kind="invoice", key="PB-70", name="erp.invoice"),
    "receive": lambda: journal.receive(
        source="crm",
        event_id=uuid.uuid4().hex,
        headers={},
        body=b"",
        changes=[],
        correlation_id=str(uuid.uuid4()),
    ),
    "inbox claim": lambda: _in_transaction(lambda: journal.inbox_claim(limit=100)),
    "inbox done": lambda: journal.inbox_done(ids=[5, 6]),
    "inbox failed": lambda: journal.inbox_failed(id=7, message="x"),
    "due deliveries": lambda: outbox._claim(uuid.uuid4()),
    "fan out": lambda: outbox._fan_out(100),
    "hooks due": lambda: journal.sweep_hooks(),
    "backlog": lambda: journal_reads.backlog(),
    "dead events": lambda: journal_reads.inbox_dead(),
    "newest of a subject": lambda: sync.for_subject("deal", _one().subject.key),
    "waterfall": lambda: sync.waterfall(_one()),
    "sweep": engine.sweep,
    "seal": _seal_what_came_since,
    "keys that are forgotten": lambda: journal.inbox_keys_prune(),
    "retention": retire,
    "fold": counters_fold,
    "fold of cases": rollups.fold,
    "billing held": lambda: triage.billing_held_by_entity(EVERYTHING),
    "causes": lambda: triage.group_list(EVERYTHING)[:8],
    "ended": lambda: sync.ended(
        EVERYTHING, [clock.now() - timedelta(days=14), clock.now() - timedelta(minutes=7)]
    ),
    # What ended in each hour is never read whole: its screen asks for the hours that it shows.
    "totals": lambda: [
        totals(counter, EVERYTHING, Transaction.objects.all())
        for counter in counters()
        if counter.name != "ended"
    ],
}


@pytest.mark.parametrize("name", ENGINE)
def test_the_engine_reads_by_index(big, django_db_blocker, settings, name):
    settings.INBOX_KEY_DAYS = 36_500  # the walk itself is looked at, nothing is to go
    settings.RETENTION_MONTHS_INBOX = settings.RETENTION_MONTHS_PAYLOADS = (
        settings.RETENTION_MONTHS_ACTIONS
    ) = 13
    with django_db_blocker.unblock():
        assert scans(ENGINE[name], big) == []


# ---- Screens ---------------------------------------------------------------------------------------------------------

TRANSACTION_LISTS = (
    "", "state=held", "state=open", "state=attention", "state=dead", "flow=invoice.sync", "flow=catalogue.read",
    "flow=deal.provision&state=held", "page=a400000", "page=b400000", "q=TX-2026-0500000", "q=crm:006000000000100",
    "q=006000000000100", "q=ENG-2026-000100", "q=Aldergate", "q=nobody at all", "q=0007a120-6b1d-7000-8000-000000000000",
)  # fmt: skip
CASE_LISTS = (
    "view=groups", "view=groups&order=due", "view=groups&page=3", "view=groups&q=Aldergate", "view=groups&entity=MER-IE",
    "view=cases", "view=cases&code=TAX-CODE", "view=cases&role=tax", "view=cases&severity=warning", "view=cases&assignee=me",
    "view=cases&assignee=nobody", "view=cases&entity=MER-DE", "view=cases&state=any", "view=cases&state=closed_all",
    "view=cases&q=EX-10500", "view=cases&q=10500", "view=cases&q=TX-2026-0500000", "view=cases&q=Aldergate+Utilities",
    "view=cases&q=0007a120-6b1d-7000-8000-000000000000", "view=cases&q=ENG-2026-000100", "group=1",
)  # fmt: skip
AUDIT_LISTS = (
    "", "q=TX-2026-0500000", "q=ENG-2026-000100", "verb=transaction.created", "verb=nothing.so",
    "q=0007a120-6b1d-7000-8000-000000000000", "since=2026-01-01&until=2026-01-02",
)  # fmt: skip
ADDRESSES = [
    "/",
    *(f"/transactions/?{query}" for query in TRANSACTION_LISTS),
    *(f"/exceptions/?{query}" for query in CASE_LISTS),
    *(f"/audit/?{query}" for query in AUDIT_LISTS),
    "/transactions/TX-2026-0900000/",
    "/engagements/",
    "/engagements/ENG-2026-000001/",
]


#: Everywhere, the largest legal entity, a small one; a project manager sees three engagements.
READERS = ("bench0", "bench1", "bench10", "bench-pm")


def _asked(client: Client, address: str) -> tuple[Any, list[str]]:
    answers: list[Any] = []
    statements = captured(lambda: answers.append(client.get(address)))
    return answers[0], statements


@pytest.mark.parametrize("name", READERS)
@pytest.mark.parametrize("kind", ["/", "/transactions/", "/exceptions/", "/audit/", "/engagements/"])
def test_screens_read_by_index(big, django_db_blocker, settings, name, kind):
    settings.ALLOWED_HOSTS = ["testserver"]
    client, found, answered = Client(), [], 0
    with django_db_blocker.unblock():
        client.force_login(User.objects.get(username=name))
        for address in (one for one in ADDRESSES if one == kind or (kind != "/" and one.startswith(kind))):
            answer, statements = _asked(client, address)
            found += [f"{address}: {scan}" for scan in scanned(statements, big)]
            answered += answer.status_code == 200
            assert answer.status_code in ((200,) if name == "bench0" else (200, 403, 404)), address
    assert answered or (name, kind) == ("bench-pm", "/audit/")
    assert found == []


def test_a_page_far_back_reads_no_more_than_twice_the_first(big, django_db_blocker):
    with django_db_blocker.unblock():
        rows = sync.transactions(EVERYTHING)
        assert _deep(lambda token: page_by_key(rows, token=token, limit=50), "a100000") <= 2
        entity = LegalEntity.objects.get(code="MER-UK").pk
        own = sync.transactions(Scope(entity_ids=frozenset({entity})))
        assert _deep(lambda token: page_by_key(own, token=token, limit=50), "a100000") <= 2
        cases = triage.open_cases(EVERYTHING)
        far = cases.filter(due_at__isnull=False)[50_000]
        token = f"a{far.pk}~{far.due_at.isoformat()}"
        assert _deep(lambda token: page_by_key(cases, token=token, limit=50, by="due_at"), token) <= 2


def _deep(page: Callable[[str], Any], token: str) -> float:
    """Blocks that the page at ``token`` reads, to those of the first one; both warm."""
    first, deep = captured(lambda: page("")), captured(lambda: page(token))
    assert page(token).rows
    for sql in (*first, *deep):
        explained(sql, ", ANALYZE")
    return sum(map(read_blocks, deep)) / sum(map(read_blocks, first))


def test_the_figures_of_the_lists_are_those_of_the_tables(big, django_db_blocker):
    with django_db_blocker.unblock():
        facets = sync.facets(EVERYTHING, state="held")
        assert facets.total == Transaction.objects.filter(state="held").count() > 50_000
        day = clock.now() - timedelta(hours=24)
        health = sync.health(EVERYTHING)
        assert (
            health.finished.get("succeeded", 0)
            == Transaction.objects.filter(state="succeeded", finished_at__gte=day).count()
        )
        assert TRANSACTIONS.name == "transaction"
