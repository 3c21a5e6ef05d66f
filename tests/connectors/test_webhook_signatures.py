"""Signed webhooks: Standard Webhooks and Stripe, checked against the reference libraries."""

from __future__ import annotations

import base64
import hashlib
import hmac
from datetime import UTC, datetime, timedelta

import pytest
import stripe
from standardwebhooks.webhooks import Webhook

from apps.connectors.protocols import webhooks
from apps.connectors.spi import WebhookRefused

NOW = datetime(2026, 11, 23, 10, 0, tzinfo=UTC)
SECRET = "whsec_" + base64.b64encode(b"first-secret-of-24-bytes").decode()
OTHER = "whsec_" + base64.b64encode(b"other-secret-of-24-bytes").decode()
BODY = '{"café": 1}'.encode()


def standard(*, secret: str = SECRET, at: datetime = NOW, body: bytes = BODY) -> dict[str, str]:
    signature = Webhook(secret).sign("msg_1", at, body.decode())
    return {
        "Webhook-Id": "msg_1",
        "Webhook-Timestamp": str(int(at.timestamp())),
        "Webhook-Signature": signature,
    }


def check(headers, *, body: bytes = BODY, secrets=(SECRET,), now: datetime = NOW) -> str:
    return webhooks.verify_standard(headers=headers, body=body, secrets=list(secrets), now=now)


def reason(call) -> str:
    with pytest.raises(WebhookRefused) as caught:
        call()
    assert caught.value.message
    return caught.value.reason


def test_a_message_signed_by_the_reference_library_is_taken():
    assert check(standard()) == "msg_1"


def test_any_of_several_signatures_and_secrets_may_fit():
    headers = standard()
    headers["Webhook-Signature"] = "v1a,AAAA v1,bm90aGluZw== " + headers["Webhook-Signature"]
    assert check(headers, secrets=[OTHER, SECRET]) == "msg_1"


@pytest.mark.parametrize("seconds", [-300, 0, 300])
def test_five_minutes_either_way_are_allowed(seconds):
    assert check(standard(at=NOW + timedelta(seconds=seconds))) == "msg_1"


@pytest.mark.parametrize("seconds", [-301, 301, -86_400])
def test_more_than_five_minutes_is_stale(seconds):
    assert reason(lambda: check(standard(at=NOW + timedelta(seconds=seconds)))) == "stale"


@pytest.mark.parametrize("missing", ["Webhook-Id", "Webhook-Timestamp", "Webhook-Signature"])
def test_a_missing_header_is_unsigned(missing):
    headers = standard()
    del headers[missing]
    assert reason(lambda: check(headers)) == "unsigned"


def test_the_id_and_the_time_are_part_of_what_is_signed():
    assert reason(lambda: check({**standard(), "Webhook-Id": "msg_2"})) == "bad_signature"
    moved = str(int(NOW.timestamp()) + 1)
    assert reason(lambda: check({**standard(), "Webhook-Timestamp": moved})) == "bad_signature"


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"Webhook-Timestamp": "soon"}, "malformed"),
        ({"Webhook-Timestamp": "99999999999999999999"}, "malformed"),
        ({"Webhook-Signature": "v1,***"}, "bad_signature"),
        ({"Webhook-Signature": "v1,é"}, "bad_signature"),
        ({"Webhook-Signature": "v2,abc"}, "unsigned"),
        ({"Webhook-Signature": "nonsense"}, "unsigned"),
    ],
)
def test_nonsense_in_a_header_is_refused_and_not_an_error(headers, expected):
    assert reason(lambda: check({**standard(), **headers})) == expected


def test_another_body_or_secret_does_not_fit():
    assert reason(lambda: check(standard(), body=BODY + b" ")) == "bad_signature"
    assert reason(lambda: check(standard(secret=OTHER))) == "bad_signature"
    assert reason(lambda: check(standard(), body=b"\xff\xfe")) == "bad_signature"


@pytest.mark.parametrize("secrets", [[], [""], ["whsec_"]])
def test_without_a_secret_nothing_is_taken(secrets):
    assert reason(lambda: check(standard(), secrets=secrets)) == "bad_signature"


def test_a_forger_cannot_tell_old_from_wrong():
    """A stale message with a wrong signature is a wrong signature: the time alone reveals nothing."""
    old = standard(secret=OTHER, at=NOW - timedelta(days=1))
    assert reason(lambda: check(old)) == "bad_signature"


# ---- Stripe ----------------------------------------------------------------------------------------------------------


def signed(*, secret: str = "whsec_one", at: datetime = NOW, body: bytes = BODY) -> str:
    moment = int(at.timestamp())
    digest = hmac.new(secret.encode(), f"{moment}.".encode() + body, hashlib.sha256).hexdigest()
    return f"t={moment},v1={digest}"


def check_stripe(header: str, *, body: bytes = BODY, secrets=("whsec_one",), now: datetime = NOW) -> None:
    webhooks.verify_stripe(headers={"Stripe-Signature": header}, body=body, secrets=list(secrets), now=now)


def test_what_stripes_own_library_takes_is_taken(time_machine):
    time_machine.move_to(NOW, tick=False)
    header = signed()
    assert stripe.WebhookSignature.verify_header(BODY.decode(), header, "whsec_one", 300)
    check_stripe(header)


def test_several_signatures_during_a_roll_are_all_tried():
    moment = signed().split(",")[0]
    header = f"{moment},v0=abc,v1={'0' * 64},{signed(secret='whsec_two').split(',')[1]}"
    check_stripe(header, secrets=["whsec_one", "whsec_two"])


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("", "unsigned"),
        ("t=1", "unsigned"),
        ("v1=abc", "unsigned"),
        ("t=x,v1=abc", "malformed"),
        (signed(secret="whsec_two"), "bad_signature"),
        (signed(at=NOW - timedelta(seconds=301)), "stale"),
        (signed(at=NOW + timedelta(seconds=301)), "stale"),
    ],
)
def test_a_stripe_signature_that_does_not_fit_is_refused(header, expected):
    assert reason(lambda: check_stripe(header)) == expected


def test_a_stripe_webhook_without_a_configured_secret_is_refused():
    assert reason(lambda: check_stripe(signed(), secrets=[""])) == "bad_signature"
