"""Long lists: pages by key meet every row once in both directions, and the choices of a filter say what they leave."""

from __future__ import annotations

import random
import re
import uuid
from datetime import timedelta
from html import unescape

import pytest
from django.db import connection

from apps.core import clock, keyset
from apps.core.keyset import bounded, counted, page_by_key
from apps.core.scope import EVERYTHING
from apps.sync.models import Subject, Transaction
from apps.triage.models import Case, Group
from tests.console.queries import queries_of
from tests.console.texts import text_of


def transactions(count: int, **fields) -> None:
    subjects = Subject.objects.bulk_create(Subject(kind="deal", key=uuid.uuid4().hex) for _ in range(count))
    Transaction.objects.bulk_create(
        Transaction(
            ref=uuid.uuid4().hex[:20], subject=subject, flow="deal.provision", trigger="test", correlation_id=uuid.uuid4(),
            created_at=clock.now(), **fields,
        )
        for subject in subjects
    )  # fmt: skip


def cases(count: int, seed: int) -> None:
    dice, now = random.Random(seed), clock.now()
    group = Group.objects.create(fingerprint="f", flow="f", step="s", code="c", reason="r", created_at=now)
    days = [None, *range(5)]  # several share a deadline, some have none
    chosen = [dice.choice(days) for _ in range(count)]
    Case.objects.bulk_create(
        Case(
            ref=uuid.uuid4().hex, group=group, transaction_id=1, transaction_ref="TX-1", subject_kind="deal",
            subject_key=str(number),
            flow="f", step="s", code="c", severity="warning", reason="r", opened_at=now, seen_at=now, created_at=now,
            due_at=None if day is None else now + timedelta(days=day),
        )
        for number, day in enumerate(chosen)
    )  # fmt: skip


def walk(rows, *, limit: int, by: str = "") -> tuple[list[int], list[int]]:
    """Ids met forwards to the end, and backwards from there to the beginning."""
    page = page_by_key(rows, token="", limit=limit, by=by)
    assert page.previous == ""
    there = [row.pk for row in page.rows]
    while page.next:
        page = page_by_key(rows, token=page.next, limit=limit, by=by)
        there += [row.pk for row in page.rows]
    back = [[row.pk for row in page.rows]]
    while page.previous:
        page = page_by_key(rows, token=page.previous, limit=limit, by=by)
        back.insert(0, [row.pk for row in page.rows])
    return there, [number for numbers in back for number in numbers]


@pytest.mark.django_db
@pytest.mark.parametrize("count", [0, 1, 7, 14, 23])
def test_pages_by_newest_meet_every_row_once(count):
    transactions(count)
    expected = list(Transaction.objects.order_by("-id").values_list("id", flat=True))
    there, back = walk(Transaction.objects.all(), limit=7)
    assert there == expected
    # Back at the beginning the first page is shown whole, so its rows may be met again.
    assert list(dict.fromkeys(back)) == expected


@pytest.mark.django_db
@pytest.mark.parametrize("seed", range(4))
def test_pages_by_deadline_meet_every_row_once_also_those_without_one(seed):
    cases(31, seed)
    none = clock.now()  # one moment for all without a deadline, so that the key decides among them
    expected = [
        row.pk
        for row in sorted(
            Case.objects.all(), key=lambda row: (row.due_at is None, row.due_at or none, row.pk)
        )
    ]
    there, back = walk(Case.objects.all(), limit=4, by="due_at")
    assert there == expected
    assert list(dict.fromkeys(back)) == expected


@pytest.mark.django_db
@pytest.mark.parametrize(
    "token", ["x", "99", "a", "b~", "ax", "a1~yesterday", "a1~2026-01-01", "a" + "9" * 40, "a-1", "c5"]
)
def test_nonsense_shows_the_first_page(token):
    transactions(3)
    cases(3, 1)
    for rows, by in ((Transaction.objects.all(), ""), (Case.objects.all(), "due_at")):
        page = page_by_key(rows, token=token, limit=2, by=by)
        assert [row.pk for row in page.rows] == [
            row.pk for row in page_by_key(rows, token="", limit=2, by=by).rows
        ]


@pytest.mark.django_db
def test_counting_stops_at_its_bound():
    transactions(25)
    assert bounded(Transaction.objects.all(), most=20) == 21
    assert bounded(Transaction.objects.filter(pk=0)) == 0


@pytest.mark.django_db
def test_counts_are_exact_to_a_bound_and_estimated_above(monkeypatch):
    assert keyset.MOST == 10_000
    monkeypatch.setattr(keyset, "MOST", 200)
    transactions(200)
    assert counted(Transaction.objects.all()) == keyset.Count(200)
    transactions(1_034)
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE sync_transaction")
    assert counted(Transaction.objects.all()) == keyset.Count(1_200, exact=False)
    assert counted(Transaction.objects.filter(pk=0)) == keyset.Count(0)


def options(page: str, select: str) -> dict[str, str]:
    chosen = re.search(rf'<select[^>]*name="{select}".*?</select>', page, re.S).group()
    return {
        value: unescape(text) for value, text in re.findall(r'<option value="([^"]+)"[^>]*>([^<]*)<', chosen)
    }


def test_the_choices_of_the_transaction_list_say_how_many_they_leave(world, signed_in):
    transactions(60, state="held", legal_entity=world.be)
    transactions(5, state="succeeded", legal_entity=world.uk)
    client = signed_in("ana")
    page = client.get("/transactions/").content.decode()
    assert options(page, "state")["held"] == "Held for a person (60)"
    assert options(page, "state")["attention"] == "Needs a person (60)"
    assert options(page, "flow")["deal.provision"].endswith("(65)")
    assert "65 in all" in text_of(client.get("/transactions/"))
    held = client.get("/transactions/", {"state": "succeeded"}).content.decode()
    assert options(held, "legal_entity")[str(world.be.pk)].endswith("(0)")
    assert options(held, "legal_entity")[str(world.uk.pk)].endswith("(5)")
    assert options(held, "state")["held"].endswith("(60)"), "a filter's own choice does not narrow it"
    own = signed_in("rashid", world.uk).get("/transactions/").content.decode()
    assert options(own, "state")["held"].endswith("(0)"), "rows outside the scope are not counted"


@pytest.mark.parametrize(("address", "most"), [("/transactions/", 7), ("/exceptions/?view=cases", 11)])
def test_a_whole_page_of_a_long_list_takes_few_queries(world, signed_in, address, most):
    """Session, person, grants, the page's stamp, entities, facets and one page of rows; the cases also say what is held (sums
    and rates) and the next deadline. A page that is not full asks once more, for the cases without a deadline."""
    transactions(60, legal_entity=world.be)
    cases(300, 1)
    client = signed_in("ana")
    queries_of(client, address)
    assert queries_of(client, address) <= most


def test_the_pager_leads_to_the_rest_and_back(world, signed_in):
    transactions(60, legal_entity=world.be)
    client = signed_in("ana")
    first = client.get("/transactions/").content.decode()
    onward = unescape(re.search(r'rel="next" href="([^"]+)"', first).group(1))
    second = client.get("/transactions/" + onward).content.decode()
    rows = [set(re.findall(r'data-row="([^"]+)"', page)) for page in (first, second)]
    assert [len(found) for found in rows] == [50, Transaction.objects.within(EVERYTHING).count() - 50]
    assert not rows[0] & rows[1]
    back = unescape(re.search(r'rel="prev" href="([^"]+)"', second).group(1))
    assert (
        set(re.findall(r'data-row="([^"]+)"', client.get("/transactions/" + back).content.decode()))
        == rows[0]
    )


def test_the_choices_of_the_exceptions_list_say_how_many_cases_they_leave(world, signed_in):
    world.broken_deal(1)
    page = signed_in("ana").get("/exceptions/").content.decode()
    counted = {
        value: int(re.search(r"\((\d+)\)", text).group(1)) for value, text in options(page, "role").items()
    }
    assert counted["billing_analyst"] >= 1
    assert counted["cfo"] == 0
