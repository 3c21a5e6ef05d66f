"""Nothing secret is kept, whatever it hides in; personal data only where it may be revealed."""

from __future__ import annotations

import base64
import json

import pytest

from apps.connectors.protocols import redact

SECRET = "canary-3f9c2b7e11"


@pytest.mark.parametrize(
    "value",
    [
        {"password": SECRET},
        {"client_secret": SECRET, "grant_type": "client_credentials"},
        {"a": [{"b": [{"Authorization": f"Bearer {SECRET}"}]}]},
        {"nested": {"api_key": {"value": SECRET}}},
        {"tokens": {"access_token": [SECRET, SECRET]}},
        [("client_assertion", SECRET)] and {"client_assertion": SECRET},
        {"body": json.dumps({"refresh_token": SECRET})},
        {"body": json.dumps({"again": json.dumps({"private_key": SECRET})})},
        {"body": f"grant_type=x&client_secret={SECRET}&scope=api"},
        {"body": base64.b64encode(json.dumps({"secret": SECRET}).encode()).decode()},
        {"metadata[api_key]": SECRET},
        {"list": ({"Cookie": SECRET},)},
        {"raw": json.dumps({"password": SECRET}).encode()},
        {"Set-Cookie": SECRET},
        {"webhook-signature": SECRET},
    ],
)
def test_secrets_do_not_survive_by_name(value):
    assert SECRET not in json.dumps(redact.secrets(value), default=str)


@pytest.mark.parametrize(
    "text",
    [
        "refused key sk_live_abcdef123456 for you",
        "whsec_c3VpdGUtc2VjcmV0LW9mLTI0LWJ5dGVz",
        "Authorization: Bearer abcdef0123456789",
        "Authorization: Basic dXNlcjpwYXNzd29yZA==",
        "eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJ4In0.c2lnbmF0dXJl",
        "-----BEGIN PRIVATE KEY-----\nMIIE\n-----END PRIVATE KEY-----",
        "00D5g0000000001!AQEAQabcdefgh.12345678",
    ],
)
def test_secrets_do_not_survive_by_shape(text):
    cleaned = redact.secrets({"message": text})["message"]
    assert redact.MASK in cleaned
    for part in ("abcdef", "c3VpdGUt", "dXNlcjpw", "eyJpc3Mi", "MIIE", "AQEAQ"):
        assert part not in cleaned


def test_a_known_secret_is_masked_wherever_it_is_echoed():
    cleaned = redact.secrets({"message": f"no such key {SECRET}", f"key {SECRET}": 1}, known=[SECRET])
    assert SECRET not in json.dumps(cleaned)


def test_a_structure_too_deep_to_judge_is_not_kept():
    value: dict = {"password": SECRET}
    for _ in range(200):
        value = {"deeper": value}
    assert SECRET not in json.dumps(redact.secrets(value))


def test_what_is_no_secret_stays():
    value = {
        "id": "647",
        "amount": "100.00",
        "lines": [{"item": "SVC-IMPL", "quantity": 2}],
        "ok": True,
        "none": None,
    }
    assert redact.secrets(value) == value


def test_an_empty_secret_stays_empty_because_that_explains_an_error():
    assert redact.secrets({"api_key": "", "password": None}) == {"api_key": "", "password": None}


def test_an_address_loses_user_and_secret_parameters():
    cleaned = redact.url(f"https://user:{SECRET}@hooks.example/flow?sig={SECRET}&api-version=1")
    assert SECRET not in cleaned
    assert "user" not in cleaned
    assert cleaned.startswith("https://hooks.example/flow?")
    assert "api-version=1" in cleaned


def test_headers_lose_their_credentials():
    cleaned = redact.headers(
        {"Authorization": f"Bearer {SECRET}", "X-Api-Key": SECRET, "Accept": "application/json"}
    )
    assert cleaned == {"Authorization": redact.MASK, "X-Api-Key": redact.MASK, "Accept": "application/json"}


def test_personal_data_is_masked_to_any_depth_and_business_data_stays():
    value = {
        "companyName": "Northwind",
        "email": "ann@northwind.example",
        "addressBook": {"items": [{"addressbookAddress": {"addr1": "1 High Street", "city": "Leeds"}}]},
        "memo": "please ask ann@northwind.example about it",
        "Phone": "+44 113 496 0000",
        "lines": [{"amount": "10.00"}],
    }
    cleaned = redact.personal(value)
    text = json.dumps(cleaned)
    assert "ann@" not in text
    assert "High Street" not in text
    assert "+44" not in text
    assert cleaned["companyName"] == "Northwind"
    assert cleaned["lines"] == [{"amount": "10.00"}]
    assert "please ask" in cleaned["memo"]


def test_the_original_is_not_changed():
    value = {"password": SECRET, "list": [{"token": SECRET}]}
    redact.secrets(value)
    assert value == {"password": SECRET, "list": [{"token": SECRET}]}
