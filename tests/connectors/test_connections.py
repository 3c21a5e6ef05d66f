"""Connections: setting one up, and what the services do around an adapter's call."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
from cryptography.fernet import Fernet
from django.core.management import call_command
from django.db import transaction

from apps.connectors import selectors, services
from apps.connectors.errors import AdapterError, ErrorKind, SecretsUnreadable, WebhookRefused
from apps.connectors.models import Connection
from apps.connectors.spi import Push
from apps.core import clock
from apps.core.errors import InvalidInput, NotAllowed, NotFound
from apps.journal import selectors as journal
from apps.organization import services as organization
from tests.connectors.rawserver import RawServer, whole

KEY = "sk_test_canary3f9c2b7e11"


@pytest.fixture
def billing(db):
    return organization.system_set(
        code="billing", name="Stripe", kind="billing", vendor="stripe", active=True, record_url_template=""
    )


@pytest.fixture
def vendor():
    """Answers every call of Stripe's API with an empty list."""
    with RawServer(
        lambda connection, request: connection.sendall(whole(b'{"data": [], "has_more": false}'))
    ) as server:
        yield server


def connect(system, vendor, **changes) -> Connection:
    arguments = {"base_url": vendor.url, "config": {}, "secrets": {"api_key": KEY}, **changes}
    return services.connection_set(system=system, by=None, **arguments)


def test_a_connection_is_stored_with_its_secrets_encrypted(billing, vendor):
    row = connect(billing, vendor)
    row.refresh_from_db()
    assert KEY.encode() not in bytes(row.secrets)
    state = selectors.connection_state(system_id=billing.pk)
    assert state.secrets_set == ("api_key",)
    assert KEY not in repr(state)


def test_an_empty_secret_keeps_what_is_stored(billing, vendor):
    connect(billing, vendor)
    connect(billing, vendor, secrets={"api_key": "", "webhook_secret": "whsec_x"})
    assert selectors.connection_state(system_id=billing.pk).secrets_set == ("api_key", "webhook_secret")
    services.find(system_id=billing.pk, object_type="customer", by="key", value="x")
    assert f"Bearer {KEY}".encode() in vendor.requests[-1]


def test_setting_up_leaves_an_audit_row_without_any_secret(billing, vendor):
    connect(billing, vendor)
    rows = list(journal.history("system", "billing"))
    text = json.dumps([[str(value) for value in vars(row).values()] for row in rows], default=str)
    assert "connection.set" in text
    assert "api_key" in text
    assert KEY not in text


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"base_url": "http://api.stripe.com"}, "base_url"),
        ({"base_url": "ftp://api.stripe.com"}, "base_url"),
        ({"base_url": "https://user:pw@api.stripe.com"}, "base_url"),
        ({"base_url": "https://api.stripe.com/?key=1"}, "base_url"),
        ({"base_url": "https://[::1"}, "base_url"),
        ({"base_url": ""}, "base_url"),
        ({"config": {"colour": "red"}}, "colour"),
        ({"config": {"account": 7}}, "account"),
        ({"secrets": {"password": "x"}}, "password"),
    ],
)
def test_what_cannot_work_is_refused_with_its_field(billing, vendor, changes, field):
    with pytest.raises(InvalidInput) as caught:
        connect(billing, vendor, **changes)
    assert set(caught.value.fields) == {field}
    assert not Connection.objects.exists()


def test_a_setting_that_is_needed_or_not_offered_is_named(db, vendor):
    crm = organization.system_set(
        code="crm", name="Salesforce", kind="crm", vendor="salesforce", active=True, record_url_template=""
    )
    with pytest.raises(InvalidInput) as caught:
        connect(crm, vendor, config={"auth": "password"}, secrets={})
    assert set(caught.value.fields) == {"client_id", "auth"}


def test_who_may_not_manage_systems_may_not_set_one_up(billing, vendor, django_user_model):
    stranger = django_user_model.objects.create_user(username="nils", email="nils@meridane.example")
    with pytest.raises(NotAllowed):
        services.connection_set(
            system=billing, base_url=vendor.url, config={}, secrets={"api_key": KEY}, by=stranger
        )
    connect(billing, vendor)
    with pytest.raises(NotAllowed):
        services.connection_pause(system_id=billing.pk, paused=True, by=stranger)


def test_a_check_is_kept_with_the_connection(billing, vendor, time_machine):
    connect(billing, vendor)
    assert services.connection_check(system=billing).ok
    state = selectors.connection_state(system_id=billing.pk)
    assert state.last_ok_at is not None
    vendor.close()
    assert not services.connection_check(system=billing).ok
    state = selectors.connection_state(system_id=billing.pk)
    assert "could not be reached" in state.last_error or "broke off" in state.last_error


def test_a_success_clears_the_error_and_is_noted_at_most_once_a_minute(billing, vendor, time_machine):
    connect(billing, vendor)
    Connection.objects.update(last_error="was down", last_error_at=clock.now())
    services.find(system_id=billing.pk, object_type="customer", by="key", value="x")
    first = selectors.connection_state(system_id=billing.pk)
    assert (first.last_error, first.last_error_at) == ("", None)
    time_machine.move_to(clock.now() + timedelta(seconds=20))
    services.find(system_id=billing.pk, object_type="customer", by="key", value="x")
    assert selectors.connection_state(system_id=billing.pk).last_ok_at == first.last_ok_at
    time_machine.move_to(clock.now() + timedelta(seconds=60))
    services.find(system_id=billing.pk, object_type="customer", by="key", value="x")
    assert selectors.connection_state(system_id=billing.pk).last_ok_at > first.last_ok_at


@pytest.mark.parametrize("verb", ["fetch", "find", "push", "probe", "check"])
def test_no_vendor_is_called_inside_a_transaction(billing, vendor, verb):
    connect(billing, vendor)
    push = Push(object_type="customer", operation="create", key="k", idempotency_key="i")
    calls = {
        "fetch": lambda: services.fetch(system_id=billing.pk, object_type="invoice", cursor=""),
        "find": lambda: services.find(system_id=billing.pk, object_type="customer", by="key", value="x"),
        "push": lambda: services.push(system_id=billing.pk, push=push),
        "probe": lambda: services.probe(system_id=billing.pk, push=push),
        "check": lambda: services.connection_check(system=billing),
    }
    with pytest.raises(RuntimeError), transaction.atomic():
        calls[verb]()
    assert vendor.requests == []


def test_a_paused_connection_sends_nothing_and_can_be_checked(billing, vendor):
    connect(billing, vendor)
    services.connection_pause(system_id=billing.pk, paused=True, by=None, why="maintenance")
    with pytest.raises(AdapterError) as caught:
        services.find(system_id=billing.pk, object_type="customer", by="key", value="x")
    assert caught.value.kind is ErrorKind.HELD_BACK
    assert caught.value.vendor_code == "paused"
    assert caught.value.retry_after
    assert vendor.requests == []
    assert services.connection_check(system=billing).ok
    services.connection_pause(system_id=billing.pk, paused=False, by=None)
    assert services.find(system_id=billing.pk, object_type="customer", by="key", value="x") == []


@pytest.mark.parametrize("state", ["missing", "disabled", "system switched off"])
def test_what_is_not_connected_says_so(billing, vendor, state):
    if state != "missing":
        connect(billing, vendor)
    if state == "disabled":
        Connection.objects.update(enabled=False)
    if state == "system switched off":
        organization.system_set(code="billing", active=False)
    with pytest.raises(AdapterError) as caught:
        services.find(system_id=billing.pk, object_type="customer", by="key", value="x")
    assert caught.value.kind is ErrorKind.PERMISSION
    assert vendor.requests == []


def test_a_lost_key_fails_closed_and_sends_nothing(billing, vendor, settings):
    connect(billing, vendor)
    settings.SECRETS_KEYS = [Fernet.generate_key().decode()]
    with pytest.raises(AdapterError) as caught:
        services.find(system_id=billing.pk, object_type="customer", by="key", value="x")
    assert (caught.value.kind, caught.value.code) == (ErrorKind.AUTH, "INT-AUTH")
    assert vendor.requests == []
    assert not selectors.connection_state(system_id=billing.pk).secrets_readable
    with pytest.raises(SecretsUnreadable):
        services.secrets_rotate()


def test_turning_the_keys_keeps_every_connection_working(billing, vendor, settings, capsys):
    connect(billing, vendor)
    new = Fernet.generate_key().decode()
    settings.SECRETS_KEYS = [new, *settings.SECRETS_KEYS]
    call_command("rotate_keys")
    assert "1 connection" in capsys.readouterr().out
    settings.SECRETS_KEYS = [new]
    assert services.connection_check(system=billing).ok


def test_a_look_up_ends_at_its_deadline(billing):
    def hang(connection, request):
        server.released.wait(5)

    with RawServer(hang) as server:
        connect(billing, server)
        before = clock.now()
        with pytest.raises(AdapterError) as caught:
            services.find(system_id=billing.pk, object_type="customer", by="key", value="x", deadline=0.3)
        assert caught.value.kind is ErrorKind.TRANSIENT
        assert clock.now() - before < timedelta(seconds=2)


def test_a_webhook_needs_a_connection_and_a_secret(billing, vendor):
    with pytest.raises(NotFound):
        services.receive(system_code="billing", headers={}, body=b"{}")
    connect(billing, vendor)
    with pytest.raises(WebhookRefused):
        services.receive(system_code="billing", headers={"Stripe-Signature": "t=1,v1=0"}, body=b"{}")


def test_a_system_describes_its_adapter(billing, vendor):
    with pytest.raises(NotFound):
        services.describe(billing.pk)
    connect(billing, vendor)
    assert services.describe(billing.pk).vendor == "stripe"
