"""Changes in NetSuite are found by asking, page by page, without losing one."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
import time_machine

from apps.connectors.adapters.netsuite.adapter import NetSuiteAdapter
from apps.connectors.spi import AdapterError, ErrorKind
from apps.core import clock
from tests.connectors.sandboxed import netsuite_settings


def ago(**time: int) -> str:
    return (clock.now() - timedelta(**time)).replace(microsecond=0).isoformat()


def customers(count: int, **changes: Any) -> list[dict[str, Any]]:
    base = {"subsidiary": {"id": "1"}, "currency": {"id": "1"}, "lastModifiedDate": ago(minutes=2), **changes}
    return [{**base, "companyName": f"Company {number}"} for number in range(count)]


def seed(sandbox, records: list[dict[str, Any]]) -> list[str]:
    return sandbox.control.seed({"erp": {"customer": records}})["erp"]["customer"]


def drained(adapter, *, limit: int, cursor: str = "", object_type: str = "customer") -> tuple[list[str], str]:
    found: list[str] = []
    for _ in range(50):
        page = adapter.fetch(object_type=object_type, cursor=cursor, limit=limit)
        found += [change.external_id for change in page.changes]
        cursor = page.cursor
        if not page.more:
            return found, cursor
    raise AssertionError("the window never ended")


def test_every_customer_is_found_once_over_several_pages(netsuite, sandbox):
    seeded = seed(sandbox, customers(7))
    found, _ = drained(netsuite, limit=3)
    assert sorted(found) == sorted(seeded)


def test_a_full_last_page_is_followed_by_an_empty_one_and_not_by_silence(netsuite, sandbox):
    seeded = seed(sandbox, customers(6))
    found, _ = drained(netsuite, limit=3)
    assert sorted(found) == sorted(seeded)


def test_the_next_window_overlaps_and_names_the_same_change_alike(netsuite, sandbox):
    seed(sandbox, customers(1))
    first = netsuite.fetch(object_type="customer", cursor="")
    second = netsuite.fetch(object_type="customer", cursor=first.cursor)
    assert [change.event_id for change in second.changes] == [change.event_id for change in first.changes]


def test_a_later_change_of_the_record_is_another_event(netsuite, erp, sandbox):
    [one] = seed(sandbox, customers(1))
    first = netsuite.fetch(object_type="customer", cursor="")
    erp.patch("customer", one, {"email": "new@example.com", "lastModifiedDate": ago(seconds=20)})
    second = netsuite.fetch(object_type="customer", cursor=first.cursor)
    assert [change.external_id for change in second.changes] == [one]
    assert second.changes[0].event_id != first.changes[0].event_id
    assert second.changes[0].occurred_at > first.changes[0].occurred_at


def test_a_record_changed_while_its_window_is_read_is_found_in_the_next(netsuite, erp, sandbox):
    seeded = seed(sandbox, customers(4))
    first = netsuite.fetch(object_type="customer", cursor="", limit=2)
    assert first.more
    # As if the window had ended before this change was made.
    held = json.loads(first.cursor) | {"until": ago(minutes=1)}
    late = sorted(seeded)[-1]
    erp.patch("customer", late, {"email": "moved@example.com", "lastModifiedDate": ago(seconds=30)})
    rest, cursor = drained(netsuite, limit=2, cursor=json.dumps(held))
    assert late not in rest
    following, _ = drained(netsuite, limit=10, cursor=cursor)
    assert late in following


def test_old_records_are_outside_of_the_first_window(netsuite, sandbox):
    seed(sandbox, customers(2, lastModifiedDate=ago(days=3)))
    assert drained(netsuite, limit=10)[0] == []


def test_changes_of_a_page_come_oldest_first(netsuite, sandbox):
    newer, older = customers(2)
    newer["lastModifiedDate"], older["lastModifiedDate"] = ago(minutes=1), ago(minutes=9)
    first, second = seed(sandbox, [newer, older])
    page = netsuite.fetch(object_type="customer", cursor="")
    assert [change.external_id for change in page.changes] == [second, first]


def test_invoices_are_polled_apart_from_other_transactions(netsuite, sandbox):
    [buyer] = seed(sandbox, customers(1))
    line = {"items": [{"item": {"id": "41"}, "amount": 10}]}
    common = {"entity": {"id": buyer}, "currency": {"id": "1"}, "lastModifiedDate": ago(minutes=1)}
    seeded = sandbox.control.seed(
        {"erp": {"invoice": [{**common, "item": line}], "creditMemo": [{**common, "item": line}]}}
    )["erp"]
    page = netsuite.fetch(object_type="invoice", cursor="")
    assert [(change.external_id, change.container_id) for change in page.changes] == [
        (seeded["invoice"][0], buyer)
    ]


def test_a_second_that_is_not_over_is_left_to_the_next_window(netsuite, sandbox):
    [one] = seed(sandbox, customers(1, lastModifiedDate=ago(seconds=0)))
    first = netsuite.fetch(object_type="customer", cursor="")
    assert list(first.changes) == []
    with time_machine.travel(clock.now() + timedelta(seconds=5), tick=True):
        second = netsuite.fetch(object_type="customer", cursor=first.cursor)
    assert [change.external_id for change in second.changes] == [one]


def test_times_follow_the_integration_users_time_zone(sandbox, erp, rsa_key):
    adapter = NetSuiteAdapter(netsuite_settings(sandbox, rsa_key[0], timezone="America/Los_Angeles"))
    moment = clock.now().replace(microsecond=0)
    assert adapter.client.moment(adapter.client.timestamp(moment).split("'")[1]) == moment


def test_an_unreadable_cursor_is_an_error_and_no_fresh_start(netsuite):
    with pytest.raises(AdapterError) as caught:
        netsuite.fetch(object_type="customer", cursor="{not json")
    assert caught.value.kind is ErrorKind.CONTRACT_DRIFT


def test_an_object_that_is_not_polled_is_refused(netsuite):
    with pytest.raises(AdapterError, match="not polled for milestone"):
        netsuite.fetch(object_type="milestone", cursor="")
