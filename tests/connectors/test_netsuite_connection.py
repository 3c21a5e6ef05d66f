"""Signing in to NetSuite, and what happens when that, or the line, fails."""

from __future__ import annotations

import pytest

from apps.connectors.adapters.netsuite.adapter import CONFIG_SCHEMA, NetSuiteAdapter
from apps.connectors.protocols.oauth import forget_tokens
from apps.connectors.spi import AdapterError, ErrorKind, WebhookRefused
from apps.core import clock
from tests.connectors.sandboxed import CERTIFICATE_ID, netsuite_settings, signing_key

SUITEQL = "/services/rest/query/v1/suiteql"


def test_the_check_signs_in_with_an_rsa_key(netsuite):
    health = netsuite.check()
    assert health.ok, health.message
    assert health.details["account"] == "MERRIDANE"


def test_the_check_signs_in_with_an_elliptic_curve_key(sandbox, erp):
    private, public = signing_key("EC")
    erp.credentials(certificates={CERTIFICATE_ID: public})
    health = NetSuiteAdapter(netsuite_settings(sandbox, private, algorithm="ES256")).check()
    assert health.ok, health.message


def test_a_key_that_was_never_registered_is_an_auth_error_and_no_exception_of_the_check(sandbox, erp):
    adapter = NetSuiteAdapter(netsuite_settings(sandbox, signing_key()[0]))
    health = adapter.check()
    assert not health.ok
    assert health.details["kind"] == "auth"
    forget_tokens()
    with pytest.raises(AdapterError) as caught:
        adapter.find(object_type="customer", by="id", value="1")
    assert (caught.value.kind, caught.value.code) == (ErrorKind.AUTH, "INT-AUTH")


def test_an_unreadable_key_is_told_without_asking_the_vendor(sandbox, erp):
    health = NetSuiteAdapter(netsuite_settings(sandbox, "no key at all")).check()
    assert not health.ok
    assert "private key" in health.message
    assert erp.requests(path="oauth2") == []


def test_an_expired_token_is_renewed_once_and_the_call_goes_on(netsuite, erp):
    assert netsuite.check().ok
    erp.expire_tokens()
    assert netsuite.check().ok
    assert [call["status"] for call in erp.requests(path=SUITEQL)] == [200, 401, 200]


@pytest.mark.provokes("INT-RATE")
def test_too_many_requests_ask_for_a_pause(netsuite, erp):
    erp.fault("status", path=SUITEQL, status=429)
    with pytest.raises(AdapterError) as caught:
        netsuite.find(object_type="service_item", by="code", value="SVC-IMPL")
    assert (caught.value.kind, caught.value.code) == (ErrorKind.RATE_LIMITED, "INT-RATE")


def test_a_missing_permission_is_no_authentication_problem(netsuite, erp):
    erp.fault("status", path="/record/v1/customer", status=403)
    with pytest.raises(AdapterError) as caught:
        netsuite.find(object_type="customer", by="id", value="7")
    assert (caught.value.kind, caught.value.code) == (ErrorKind.PERMISSION, "INT-PERM")


def test_a_reading_query_sent_by_post_may_simply_be_tried_again(netsuite, erp):
    erp.fault("reset_after", path=SUITEQL, times=2)  # one is repeated on a fresh connection
    with pytest.raises(AdapterError) as caught:
        netsuite.find(object_type="service_item", by="code", value="SVC-IMPL")
    assert caught.value.kind is ErrorKind.TRANSIENT


def test_netsuite_sends_no_events(netsuite):
    with pytest.raises(WebhookRefused, match="polled"):
        netsuite.receive(headers={}, body=b"{}", secrets=[], now=clock.now())


def test_the_description_names_what_the_code_can_do(netsuite):
    described = netsuite.describe()
    assert described.vendor == "netsuite"
    assert set(described.writes.values()) == {"upsert"}
    assert set(described.polls) <= set(described.reads)
    assert set(CONFIG_SCHEMA["required"]) <= set(CONFIG_SCHEMA["properties"])
