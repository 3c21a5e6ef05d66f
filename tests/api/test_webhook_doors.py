"""The webhook doors: an event is stored before it is acknowledged, and bad input gets a clear 4xx and a row."""

from __future__ import annotations

import hashlib
import hmac
import json
import uuid

import kombu
import psycopg
import pytest
from django.db import connection
from django.test import Client

from apps.core import clock
from apps.journal.models import Inbox, InboxReject
from apps.organization import services as organization
from tests.api.doors import SECRET, STRIPE_SECRET, billing, crm, deal_changed, post, signed
from tests.journal.together import outcomes, together


@pytest.fixture
def door(db) -> Client:
    crm()
    return Client(enforce_csrf_checks=True, raise_request_exception=True)


def _refused(response, status: int, kind: str) -> dict:
    """The one shape of every refusal, and its row."""
    assert response.status_code == status
    assert response["Content-Type"] == "application/problem+json"
    document = response.json()
    assert document["status"] == status
    assert document["type"] == f"urn:pssync:problem:{kind}"
    assert document["title"]
    assert document["detail"]
    assert document["correlation_id"] == response["X-Correlation-Id"]
    assert str(InboxReject.objects.get().correlation_id) == document["correlation_id"]
    assert not Inbox.objects.exists()
    return document


def test_a_signed_event_is_taken_and_stored_with_its_changes(door):
    response = post(door, deal_changed("006A"))
    assert (response.status_code, response.json()) == (202, {"received": True, "duplicate": False})
    row = Inbox.objects.get()
    assert row.source == "crm"
    assert row.changes[0]["object_type"] == "deal"
    assert row.changes[0]["external_id"] == "006A"
    assert json.loads(bytes(row.body))["payload"]["StageName"] == "Closed Won"
    assert "webhook-signature" not in row.headers


def test_the_inbound_correlation_id_is_kept_and_a_strange_one_is_replaced(door):
    wanted = str(uuid.uuid4())
    response = post(door, deal_changed(), **{"X-Correlation-Id": wanted})
    assert response["X-Correlation-Id"] == wanted
    assert str(Inbox.objects.get().correlation_id) == wanted
    strange = post(door, deal_changed(), **{"X-Correlation-Id": "<script>"})["X-Correlation-Id"]
    assert uuid.UUID(strange)


def test_the_same_event_ten_times_is_one(door):
    body = json.dumps(deal_changed()).encode()
    headers = signed(body, event_id="msg_1")
    answers = [post(door, body, sent=headers) for _ in range(10)]
    assert [answer.status_code for answer in answers] == [202] + [200] * 9
    assert answers[-1].json() == {"received": True, "duplicate": True}
    assert Inbox.objects.count() == 1


def test_stripe_signatures_are_taken_too(db, client):
    billing()
    body = json.dumps(
        {
            "id": "evt_1",
            "object": "event",
            "api_version": "2026-10-28.endive",
            "created": int(clock.now().timestamp()),
            "type": "invoice.paid",
            "data": {"object": {"id": "in_1", "object": "invoice"}},
        }
    ).encode()
    at = str(int(clock.now().timestamp()))
    good = hmac.new(STRIPE_SECRET.encode(), f"{at}.".encode() + body, hashlib.sha256).hexdigest()
    answer = post(client, body, "/hooks/pay", sent={"Stripe-Signature": f"t={at},v1={'0' * 64},v1={good}"})
    assert answer.status_code == 202
    assert Inbox.objects.get().event_id == "evt_1"


def test_an_unsigned_event_is_refused(door):
    response = post(door, deal_changed(), sent={})
    _refused(response, 401, "unsigned")
    assert response["WWW-Authenticate"]


def test_a_wrong_signature_is_refused(door):
    body = json.dumps(deal_changed()).encode()
    _refused(post(door, body + b" ", sent=signed(body)), 401, "bad-signature")


@pytest.mark.parametrize("age", [301, -301, 10**9])
def test_a_stale_or_future_event_is_refused(door, age):
    body = json.dumps(deal_changed()).encode()
    _refused(post(door, body, sent=signed(body, age_seconds=age)), 401, "stale-event")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"not json",
        b"[]",
        b"null",
        b'"text"',
        b"12",
        b'{"payload": []}',
        b"{" * 5000,
        b"[" * 100_000,
        b'{"payload": {"ChangeEventHeader": NaN}}',
    ],
)
def test_a_malformed_event_is_refused_and_never_a_500(door, body):
    response = post(door, body)
    assert response.status_code == 400
    assert response.json()["type"] in (
        "urn:pssync:problem:malformed-event",
        "urn:pssync:problem:unknown-version",
    )
    assert InboxReject.objects.get().reason in ("malformed", "unknown_version")


def _with_header(**values) -> dict:
    event = deal_changed()
    event["payload"]["ChangeEventHeader"].update(values)
    return event


@pytest.mark.parametrize(
    "event",
    [
        _with_header(recordIds=["006\x00A"]),
        _with_header(recordIds=["\ud800"]),
        _with_header(recordIds=[{"a": 1}]),
        _with_header(recordIds="006A"),
        _with_header(commitTimestamp="yesterday"),
        _with_header(commitTimestamp=1e300),
        _with_header(entityName=["Opportunity"]),
        _with_header(entityName={"a": "b"}),
        _with_header(changeType=None),
        deal_changed(payload="text"),
    ],
)
def test_odd_values_in_a_signed_event_never_lead_to_a_500(door, event):
    response = post(door, event)
    assert response.status_code in (200, 202, 400)
    assert Inbox.objects.count() + InboxReject.objects.count() == 1


def test_text_that_is_not_utf8_is_refused(door):
    response = post(door, b'{"payload": "\xff\xfe"}')
    assert response.status_code in (400, 401)
    assert InboxReject.objects.count() == 1


def test_an_unknown_version_is_refused(door):
    _refused(post(door, deal_changed(schema="from-the-future")), 400, "unknown-version")


@pytest.mark.parametrize("code", ["nobody", "crm2", "%00", "a/b", "../crm", "x" * 300, "%ff", ""])
def test_an_unknown_system_is_refused(door, code):
    _refused(post(door, deal_changed(), f"/hooks/{code}"), 404, "unknown-system")


def test_a_system_that_is_switched_off_has_no_door(door):
    organization.system_set(code="crm", active=False)
    _refused(post(door, deal_changed()), 404, "unknown-system")


@pytest.mark.parametrize("method", ["get", "put", "patch", "delete", "options"])
def test_only_post_is_taken(door, method):
    response = getattr(door, method)("/hooks/crm")
    _refused(response, 405, "wrong-method")
    assert response["Allow"] == "POST"


def test_an_oversized_event_is_refused_without_being_read_whole(door):
    body = json.dumps(deal_changed(filler="x" * 256 * 1024)).encode()
    _refused(post(door, body), 413, "too-large")
    row = InboxReject.objects.get()
    assert (len(bytes(row.body)), row.size) == (2048, len(body))


def test_the_largest_allowed_event_is_taken(door):
    event = deal_changed(filler="")
    event["filler"] = "x" * (256 * 1024 - len(json.dumps(event).encode()))
    assert post(door, event).status_code == 202


@pytest.mark.parametrize(
    "content_type", ["text/plain", "application/x-www-form-urlencoded", "", "multipart/form-data"]
)
def test_only_json_is_taken(door, content_type):
    _refused(post(door, deal_changed(), content_type=content_type), 415, "not-json")


def test_json_of_a_special_type_is_taken(door):
    kind = "application/cloudevents+json; charset=utf-8"
    assert post(door, deal_changed(), content_type=kind).status_code == 202


def test_a_compressed_event_is_refused(door):
    _refused(post(door, deal_changed(), **{"Content-Encoding": "gzip"}), 415, "not-json")


def test_a_reject_keeps_no_secret(door):
    post(door, deal_changed(), sent={"Authorization": "Bearer top-secret", "webhook-signature": "v1,abc"})
    row = InboxReject.objects.get()
    assert "top-secret" not in json.dumps(row.headers)
    assert SECRET not in row.message


def test_the_door_publishes_nothing_to_the_broker(door, monkeypatch):
    published = []
    monkeypatch.setattr(kombu.Producer, "publish", lambda *args, **kwargs: published.append(args))
    assert post(door, deal_changed()).status_code == 202
    assert published == []


def test_the_door_asks_the_database_little(door, django_assert_max_num_queries):
    body = deal_changed()
    with django_assert_max_num_queries(3):
        assert post(door, body).status_code == 202


def test_a_2xx_comes_after_the_commit(process_database):
    crm()
    assert post(Client(), deal_changed()).status_code == 202
    with psycopg.connect(process_database.url) as other:
        assert other.execute("SELECT count(*) FROM journal_inbox").fetchone() == (1,)


def test_eight_senders_of_one_event_at_once_leave_one(process_database):
    crm()
    body = json.dumps(deal_changed()).encode()
    headers = signed(body, event_id="msg_1")
    results = together(*[lambda: post(Client(), body, sent=headers).status_code] * 8)
    assert outcomes(results) == {"202": 1, "200": 7}
    assert Inbox.objects.count() == 1


def test_a_database_that_is_away_asks_the_sender_to_come_again(process_database):
    crm()
    with psycopg.connect(process_database.url, autocommit=True) as other:
        other.execute("ALTER TABLE journal_inboxkey RENAME TO hidden")
        connection.close()
        name = connection.settings_dict["NAME"]
        connection.settings_dict["NAME"] = "no_such_database"
        try:
            response = post(Client(), deal_changed())
        finally:
            connection.close()
            connection.settings_dict["NAME"] = name
        other.execute("ALTER TABLE hidden RENAME TO journal_inboxkey")
    assert response.status_code == 503
    assert response["Retry-After"] == "10"
    assert response["Content-Type"] == "application/problem+json"
