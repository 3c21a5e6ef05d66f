"""What every adapter promises, run over all of them against the emulated vendors."""

from __future__ import annotations

import json
import time
import uuid

import jsonschema
import pytest

from apps.canonical.objects import OBJECTS
from apps.connectors.registry import VENDORS, describe_vendor
from apps.connectors.spi import AdapterError, ErrorKind, Page, WebhookRefused
from apps.core import clock, correlation


def drained(adapter, object_type: str, cursor: str) -> tuple[list, str]:
    changes, more = [], True
    while more:
        page: Page = adapter.fetch(object_type=object_type, cursor=cursor, limit=50)
        changes.extend(page.changes)
        cursor, more = page.cursor, page.more
    return changes, cursor


@pytest.mark.parametrize("vendor", sorted(VENDORS))
def test_an_adapter_describes_itself_completely(vendor):
    description = describe_vendor(vendor)
    assert description.vendor == vendor
    assert description.title
    jsonschema.Draft202012Validator.check_schema(dict(description.config_schema))
    assert description.config_schema["additionalProperties"] is False
    assert set(description.writes.values()) <= {"upsert", "key", "search"}
    assert description.writes
    assert description.reads
    assert description.polls
    assert set(description.polls) <= set(OBJECTS)
    assert not set(description.secret_names) & set(description.config_schema["properties"])


def test_a_check_with_good_credentials_is_well(adapter):
    health = adapter.check()
    assert health.ok, health.message
    assert health.message


def test_a_check_with_strange_credentials_says_so_and_does_not_raise(rig):
    health = rig.stranger().check()
    assert not health.ok
    assert health.details["code"] == "INT-AUTH"


def test_a_write_with_strange_credentials_is_refused_as_authentication(rig):
    push = rig.write()
    with pytest.raises(AdapterError) as caught:
        rig.stranger().push(push)
    assert caught.value.kind is ErrorKind.AUTH
    assert caught.value.code == "INT-AUTH"
    assert rig.written(push) == 0


def test_an_object_is_found_by_its_id_as_its_canonical_class(rig, adapter):
    external_id = rig.seed()
    [found] = adapter.find(object_type=rig.reads, by="id", value=external_id)
    assert found.external_id == external_id
    assert found.object_type == rig.reads
    assert type(found.body) is OBJECTS[rig.reads]
    assert found.modified_at is None or found.modified_at.utcoffset() is not None
    json.dumps(dict(found.facts))


def test_the_version_stays_until_the_object_changes(rig, adapter):
    external_id = rig.seed()
    [first] = adapter.find(object_type=rig.reads, by="id", value=external_id)
    [again] = adapter.find(object_type=rig.reads, by="id", value=external_id)
    assert first.version
    assert again == first
    rig.next_second()
    rig.change(external_id)
    [after] = adapter.find(object_type=rig.reads, by="id", value=external_id)
    assert after.version != first.version


def test_what_is_not_there_is_not_found(rig, adapter):
    external_id = rig.seed()
    other = (
        external_id[:-4] + ("9999" if external_id[-4:] != "9999" else "8888")
        if len(external_id) > 4
        else "999999"
    )
    assert list(adapter.find(object_type=rig.reads, by="id", value=other)) == []


def test_an_object_type_nobody_offers_is_contract_drift(adapter):
    with pytest.raises(AdapterError) as caught:
        adapter.find(object_type="payslip", by="id", value="1")
    assert caught.value.kind is ErrorKind.CONTRACT_DRIFT


def test_a_write_is_probed_by_its_key_and_found(rig, adapter):
    push = rig.write()
    assert adapter.probe(push) is None
    outcome = adapter.push(push)
    found = adapter.probe(push)
    assert found is not None
    assert found.external_id == outcome.external_id
    assert outcome.created
    assert rig.written(push) == 1


def test_probing_never_writes(rig, adapter):
    push = rig.write()
    adapter.check()
    since = max((entry["seq"] for entry in rig.control.requests()), default=0)
    adapter.probe(push)
    writes = [
        entry
        for entry in rig.control.requests(since=since)
        if entry["method"] != "GET" and "suiteql" not in entry["path"] and "token" not in entry["path"]
    ]
    assert writes == []


def test_the_same_write_twice_has_one_effect_where_the_vendor_offers_a_key_or_upsert(rig, adapter):
    push = rig.write()
    guarantee = adapter.describe().writes[(push.object_type, push.operation)]
    first = adapter.push(push)
    if guarantee == "search":
        found = adapter.probe(push)
        assert found is not None
        second = found
    else:
        second = adapter.push(push)
    assert second.external_id == first.external_id
    assert rig.written(push) == 1


def test_an_answer_lost_after_the_write_is_unknown_and_the_probe_finds_it(rig, adapter):
    adapter.check()
    push = rig.write()
    rig.control.fault("reset_after", method=rig.write_method, path=rig.write_path)
    with pytest.raises(AdapterError) as caught:
        adapter.push(push)
    assert caught.value.kind is ErrorKind.UNKNOWN
    assert adapter.probe(push) is not None
    assert rig.written(push) == 1


def test_a_write_lost_on_its_way_is_unknown_and_certainly_not_there(rig, adapter):
    adapter.check()
    push = rig.write()
    rig.control.fault("reset_before", method=rig.write_method, path=rig.write_path)
    with pytest.raises(AdapterError) as caught:
        adapter.push(push)
    assert caught.value.kind is ErrorKind.UNKNOWN
    assert adapter.probe(push) is None
    assert adapter.push(push).external_id
    assert rig.written(push) == 1


def test_a_truncated_answer_to_a_write_is_unknown(rig, adapter):
    adapter.check()
    push = rig.write()
    rig.control.fault("truncate", method=rig.write_method, path=rig.write_path)
    with pytest.raises(AdapterError) as caught:
        adapter.push(push)
    assert caught.value.kind is ErrorKind.UNKNOWN
    assert adapter.probe(push) is not None


def test_a_server_error_on_a_write_is_unknown(rig, adapter):
    push = rig.write()
    rig.control.fault("status", method=rig.write_method, path=rig.write_path, status=500)
    with pytest.raises(AdapterError) as caught:
        adapter.push(push)
    assert caught.value.kind is ErrorKind.UNKNOWN
    assert caught.value.exchange is not None
    assert caught.value.exchange.status == 500


def test_a_server_error_while_reading_is_transient(rig, adapter):
    external_id = rig.seed()
    adapter.check()
    rig.control.fault("status", path=rig.read_path, status=500)
    with pytest.raises(AdapterError) as caught:
        adapter.find(object_type=rig.reads, by="id", value=external_id)
    assert caught.value.kind is ErrorKind.TRANSIENT


def test_an_answer_that_breaks_off_while_reading_is_transient(rig, adapter):
    external_id = rig.seed()
    adapter.check()
    rig.control.fault("truncate", path=rig.read_path)
    with pytest.raises(AdapterError) as caught:
        adapter.find(object_type=rig.reads, by="id", value=external_id)
    assert caught.value.kind is ErrorKind.TRANSIENT


def test_an_unavailable_system_is_transient_for_writes_too(rig, adapter):
    push = rig.write()
    rig.control.fault("status", method=rig.write_method, path=rig.write_path, status=503)
    with pytest.raises(AdapterError) as caught:
        adapter.push(push)
    assert caught.value.kind is ErrorKind.TRANSIENT
    assert rig.written(push) == 0


def test_a_rate_limit_is_told_with_the_time_to_wait(rig, adapter):
    push = rig.write()
    rig.control.fault(
        "status", method=rig.write_method, path=rig.write_path, status=429, headers={"Retry-After": "7"}
    )
    with pytest.raises(AdapterError) as caught:
        adapter.push(push)
    assert caught.value.kind is ErrorKind.RATE_LIMITED
    assert caught.value.code == "INT-RATE"
    assert caught.value.retry_after == 7
    assert rig.written(push) == 0


def test_a_forbidden_write_is_a_matter_of_permission(rig, adapter):
    push = rig.write()
    rig.control.fault(
        "status", method=rig.write_method, path=rig.write_path, status=403, body={"message": "not for you"}
    )
    with pytest.raises(AdapterError) as caught:
        adapter.push(push)
    assert caught.value.kind is ErrorKind.PERMISSION
    assert caught.value.code == "INT-PERM"


def test_a_page_of_a_proxy_instead_of_json_is_never_taken_for_success(rig, adapter):
    external_id = rig.seed()
    adapter.check()
    rig.control.fault("status", path=rig.read_path, status=200, body="<html>please log in</html>")
    with pytest.raises(AdapterError) as caught:
        adapter.find(object_type=rig.reads, by="id", value=external_id)
    assert caught.value.kind in (ErrorKind.CONTRACT_DRIFT, ErrorKind.REJECTED)


def test_an_expired_token_is_renewed_once_without_anybody_noticing(rig, adapter):
    if not rig.expires_tokens:
        assert adapter.check().ok
        return
    assert adapter.check().ok
    rig.control.expire_tokens()
    push = rig.write()
    assert adapter.push(push).external_id
    assert rig.written(push) == 1


def test_polling_finds_a_change_and_moves_on(rig, adapter):
    object_type = rig.polls
    assert object_type in adapter.describe().polls
    _, start = drained(adapter, object_type, "")
    external_id = rig.polled()
    deadline, before = time.monotonic() + 15, set()
    while (
        True
    ):  # while the second of its stamp runs, a change is not told at all, or under an id that does not stay
        changes, after = drained(adapter, object_type, start)
        found = {change.event_id for change in changes if change.external_id == external_id}
        if found and found == before:
            break
        assert time.monotonic() < deadline, "the change was never polled"
        before = found
        time.sleep(0.1)
    assert all(change.object_type == object_type for change in changes)
    told = {change.event_id for change in changes}
    repeated, _ = drained(adapter, object_type, start)
    assert told <= {change.event_id for change in repeated}
    later, _ = drained(adapter, object_type, after)
    assert all(change.event_id in told for change in later if change.external_id == external_id)


def test_the_correlation_id_reaches_the_vendor(rig, adapter):
    push = rig.write()
    with correlation.bind(uuid.uuid4()) as bound:
        adapter.push(push)
    sent = rig.control.requests(method=rig.write_method, path=rig.write_path)
    assert sent[-1]["correlation_id"] == bound


def test_no_secret_is_kept_in_an_exchange(rig, adapter):
    outcome = adapter.push(rig.write())
    kept = [outcome.exchange]
    rig.control.fault("status", method=rig.write_method, path=rig.write_path, status=500)
    with pytest.raises(AdapterError) as caught:
        adapter.push(rig.write())
    kept.append(caught.value.exchange)
    secrets = [value for value in rig.settings().secrets.values() if value]
    for exchange in kept:
        assert exchange is not None
        text = json.dumps([exchange.url, exchange.request, exchange.response], default=str)
        assert not [secret for secret in secrets if secret in text]


def test_an_unsigned_webhook_is_refused(adapter):
    with pytest.raises(WebhookRefused) as caught:
        adapter.receive(
            headers={}, body=b"{}", secrets=["whsec_c3VpdGUtc2VjcmV0LW9mLTI0LWJ5dGVz"], now=clock.now()
        )
    assert caught.value.reason in ("unsigned", "unknown_version")
