"""``POST /api/v1/deals/validate``: who may ask, what is refused, and what is answered."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.test import Client

from apps.organization import services as organization
from apps.organization.apikeys import api_key_create, api_key_revoke
from tests.api.doors import crm

PATH = "/api/v1/deals/validate"


def _money(amount: str) -> dict[str, str]:
    return {"amount": amount, "currency": "GBP"}


def _deal(**values: Any) -> dict[str, Any]:
    return {
        "key": "crm:006A",
        "name": "ERP programme",
        "legal_entity_code": "MER-UK",
        "currency": "GBP",
        "amount": _money("1000.00"),
        **values,
    }


def _key() -> str:
    return api_key_create(name="crm", scopes=["deal.validate"])[1]


@pytest.fixture
def key(db) -> str:
    return _key()


def _ask(client: Client, body: Any, key: str | None, **headers: str):
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    content_type = headers.pop("content_type", "application/json")
    signed_in = {"Authorization": f"Api-Key {key}"} if key else {}
    return client.post(PATH, raw, content_type=content_type, headers={**signed_in, **headers})


def _refused(response, status: int) -> dict[str, Any]:
    assert response.status_code == status, response.content
    assert response["Content-Type"] == "application/problem+json"
    document = response.json()
    assert document["status"] == status
    assert document["type"].startswith("urn:pssync:problem:")
    assert document["correlation_id"] == response["X-Correlation-Id"]
    return document


def test_a_deal_that_cannot_provision_is_answered_with_the_codes_that_block_it(process_database, client):
    crm()
    response = _ask(client, {"system": "crm", "deal": _deal(legal_entity_code="NOBODY")}, _key())
    assert response.status_code == 200, response.content
    answer = response.json()
    assert answer["ok"] is False
    assert set(answer) == {"ok", "as_of", "live", "actions", "problems"}
    assert all(problem["code"] and problem["reason"] for problem in answer["problems"])
    assert answer["problems"]


@pytest.mark.django_db
@pytest.mark.parametrize("key_text", [None, "nonsense", "abcdefgh.wrong", ""])
def test_without_a_valid_key_nothing_is_told(client, key_text):
    document = _refused(_ask(client, {"system": "crm", "deal_id": "006A"}, key_text), 401)
    assert document["title"] == "Unauthorized"
    assert _ask(client, {}, key_text)["WWW-Authenticate"] == "Api-Key"


@pytest.mark.django_db
def test_a_revoked_key_is_no_key(client):
    row, secret = api_key_create(name="crm", scopes=["deal.validate"])
    api_key_revoke(key=row)
    _refused(_ask(client, {"system": "crm", "deal_id": "006A"}, secret), 401)


@pytest.mark.django_db
def test_a_key_without_the_scope_is_refused(client):
    row, secret = api_key_create(name="crm", scopes=["deal.validate"])
    row.scopes = []
    row.save()
    _refused(_ask(client, {"system": "crm", "deal_id": "006A"}, secret), 403)


@pytest.mark.django_db
def test_a_signed_in_person_without_a_key_is_refused(client, django_user_model):
    client.force_login(django_user_model.objects.create(username="ana"))
    _refused(_ask(client, {"system": "crm", "deal_id": "006A"}, None), 401)


@pytest.mark.django_db
def test_a_key_of_one_entity_learns_nothing_of_another(client):
    crm()
    us = organization.entity_set(code="MER-US", name="Inc", country="US", currency="USD")
    _row, secret = api_key_create(name="crm us", scopes=["deal.validate"], legal_entity=us)
    document = _refused(_ask(client, {"system": "crm", "deal": _deal()}, secret), 403)
    assert document["detail"] == "This API key is for deals of MER-US only."


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "system"),
        ({"system": "crm"}, "deal_id"),
        ({"system": "crm", "deal_id": "006A", "deal": _deal()}, "deal_id"),
        ({"system": "crm", "deal_id": "006A", "dry_run": True}, "dry_run"),
        ({"system": "crm", "deal_id": "006' OR 1=1"}, "deal_id"),
        ({"system": "no slug!", "deal_id": "006A"}, "system"),
        ({"system": ["crm"], "deal_id": "006A"}, "system"),
        ({"system": "crm", "deal": "text"}, "deal"),
        ({"system": "crm", "deal": {}}, "deal.key"),
        ({"system": "crm", "deal": _deal(surprise=1)}, "deal.surprise"),
        (
            {"system": "crm", "deal": _deal(amount={"amount": 1000.5, "currency": "GBP"})},
            "deal.amount.amount",
        ),
        ({"system": "crm", "deal": _deal(amount=_money("NaN"))}, "deal.amount.amount"),
        ({"system": "crm", "deal": _deal(amount=_money("1.001"))}, "deal.amount"),
        ({"system": "crm", "deal": _deal(currency="XXZ")}, "deal.currency"),
        ({"system": "crm", "deal": _deal(name="\ud800")}, "deal.name"),
    ],
)
def test_each_wrong_field_is_named(client, key, body, field):
    document = _refused(_ask(client, body, key), 400)
    assert field in document["errors"]
    assert document["type"] == "urn:pssync:problem:invalid-input"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"not json",
        b"[]",
        b"null",
        b'"text"',
        b"\xff\xfe",
        b"[" * 100_000,
        b'{"system": NaN}',
        b'{"system": "cr\\u0000m", "deal_id": "006A"}',
        b'{"a\\u0000": 1}',
        b'{"system": ' + b"9" * 5000 + b"}",
    ],
)
def test_what_is_no_json_object_is_a_400_and_never_a_500(client, key, body):
    _refused(_ask(client, body, key), 400)


def test_an_unknown_system_is_a_404(client, key):
    _refused(_ask(client, {"system": "nobody", "deal_id": "006A"}, key), 404)


def test_a_deal_that_nobody_can_show_now_is_a_503(process_database, client):
    crm()  # nothing listens at its address, and the deal was never seen
    _refused(_ask(client, {"system": "crm", "deal_id": "006A"}, _key()), 503)


def test_a_body_over_the_limit_is_a_413(client, key):
    _refused(_ask(client, {"system": "crm", "deal": _deal(name="x" * 256 * 1024)}, key), 413)


def test_another_content_type_is_a_415(client, key):
    _refused(_ask(client, b"system=crm", key, content_type="application/x-www-form-urlencoded"), 415)


def test_another_method_is_a_405(client, key):
    response = client.get(PATH, headers={"Authorization": f"Api-Key {key}"})
    _refused(response, 405)
    assert "POST" in response["Allow"]


def test_a_key_is_throttled_and_told_when_to_come_back(client, key, monkeypatch):
    from apps.api.authentication import KeyThrottle

    monkeypatch.setattr(KeyThrottle, "rate", "2/min")
    for _ in range(2):
        _refused(_ask(client, {}, key), 400)
    response = _ask(client, {}, key)
    _refused(response, 429)
    assert 1 <= int(response["Retry-After"]) <= 60
    another = api_key_create(name="other", scopes=["deal.validate"])[1]
    _refused(_ask(client, {}, another), 400)
