"""What we announce arrives signed, once per receiver, and is tried again by the book."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import time_machine
from django.db import transaction
from standardwebhooks import Webhook

from apps.core import clock
from apps.core.errors import InvalidInput
from apps.journal import services
from apps.journal.delivery import SCHEDULE
from apps.journal.models import Audit, Delivery, Outbox, Subscription
from tests.journal.together import together


class Receiver:
    """A subscriber over real HTTP: keeps what it got, answers what it is told."""

    def __init__(self, port: int) -> None:
        self.got: list[tuple[dict[str, str], str]] = []
        self.answers: list[tuple[int, dict[str, str]]] = []
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"])).decode()
                receiver.got.append(({name.lower(): value for name, value in self.headers.items()}, body))
                status, headers = receiver.answers.pop(0) if receiver.answers else (204, {})
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.end_headers()

            def log_message(self, *args: object) -> None:
                """Quiet."""

        self.server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self.url = f"http://127.0.0.1:{port}/events"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


@pytest.fixture
def receiver(free_port_block) -> Iterator[Receiver]:
    found = Receiver(free_port_block(1))
    yield found
    found.server.shutdown()
    found.server.server_close()


def _publish(**values) -> Outbox:
    return services.publish(
        **{
            "type": "psasync.invoice.posted.v1",
            "subject": "PB-2026-000012",
            "data": {"total": "1200.00", "currency": "GBP"},
            "legal_entity_id": 1,
            **values,
        }
    )


def _subscribe(receiver: Receiver, **values) -> tuple[Subscription, str]:
    return services.subscription_add(**{"name": "analytics", "url": receiver.url, **values})


@pytest.mark.django_db
def test_an_event_arrives_as_a_signed_cloud_event(receiver):
    _subscription, secret = _subscribe(receiver)
    event = _publish(correlation_id="7f1f2f9e-6a1d-4f29-9d39-2f5d3f7d1c11")
    assert services.deliver_outbox() == 1
    headers, body = receiver.got[0]
    assert headers["content-type"] == "application/cloudevents+json; charset=utf-8"
    assert headers["webhook-id"] == str(event.event_id)
    assert headers["x-correlation-id"] == "7f1f2f9e-6a1d-4f29-9d39-2f5d3f7d1c11"
    sent = Webhook(secret).verify(body, headers)
    assert sent["specversion"] == "1.0"
    assert (sent["id"], sent["type"], sent["subject"]) == (
        str(event.event_id),
        "psasync.invoice.posted.v1",
        "PB-2026-000012",
    )
    assert sent["data"] == {"total": "1200.00", "currency": "GBP"}
    assert services.deliver_outbox() == 0
    assert len(receiver.got) == 1


@pytest.mark.django_db
def test_the_secret_is_stored_encrypted_and_never_returned_again(receiver):
    subscription, secret = _subscribe(receiver)
    assert secret.removeprefix("whsec_").encode() not in bytes(Subscription.objects.get().secret)
    assert secret not in json.dumps([row.new for row in Audit.objects.all()])
    assert subscription.active


@pytest.mark.django_db
def test_a_failed_delivery_is_tried_again_with_the_same_id_and_then_given_up(receiver):
    _subscribe(receiver)
    _publish()
    receiver.answers = [(500, {})] * (len(SCHEDULE) + 1)
    with time_machine.travel("2026-11-23T08:00:00Z", tick=False) as traveller:
        Delivery.objects.all().delete()
        for number in range(len(SCHEDULE)):
            services.deliver_outbox()
            delivery = Delivery.objects.get()
            wait = (delivery.not_before - clock.now()).total_seconds()
            assert SCHEDULE[number] * 0.9 <= wait <= SCHEDULE[number] * 1.1
            traveller.shift(timedelta(seconds=wait + 1))
        services.deliver_outbox()
    delivery = Delivery.objects.get()
    assert delivery.dead_at is not None
    assert delivery.last_status == 500
    assert len({headers["webhook-id"] for headers, _body in receiver.got}) == 1
    assert len(receiver.got) == len(SCHEDULE) + 1
    assert services.delivery_retry(ids=[delivery.pk]) == 1
    assert services.deliver_outbox() == 1


@pytest.mark.django_db
def test_retry_after_is_honoured(receiver):
    _subscribe(receiver)
    with time_machine.travel("2026-11-23T08:00:00Z", tick=False):
        _publish()
        receiver.answers = [(429, {"Retry-After": "120"})]
        services.deliver_outbox()
        assert Delivery.objects.get().not_before == clock.now() + timedelta(seconds=120)


@pytest.mark.django_db
def test_a_receiver_that_is_gone_is_switched_off(receiver):
    subscription, _secret = _subscribe(receiver)
    _publish()
    receiver.answers = [(410, {})]
    services.deliver_outbox()
    subscription.refresh_from_db()
    assert (subscription.active, Delivery.objects.get().dead_at is None) == (False, False)
    _publish()
    services.deliver_outbox()
    assert len(receiver.got) == 1


@pytest.mark.django_db
def test_a_redirect_is_a_failure_and_is_not_followed(receiver):
    _subscribe(receiver)
    _publish()
    receiver.answers = [(302, {"Location": receiver.url})]
    assert services.deliver_outbox() == 0
    assert len(receiver.got) == 1


@pytest.mark.django_db
def test_a_receiver_gets_only_its_types_and_its_entity(receiver):
    _subscribe(receiver, types=["psasync.invoice."], legal_entity_id=1)
    _publish()
    _publish(type="psasync.engagement.provisioned.v1")
    _publish(legal_entity_id=2)
    assert services.deliver_outbox() == 1


@pytest.mark.django_db
def test_a_private_address_is_refused_unless_the_settings_name_it(receiver, settings):
    settings.OUTBOUND_ALLOW_PRIVATE = []
    _subscribe(receiver)
    _publish()
    assert services.deliver_outbox() == 0
    assert receiver.got == []
    assert "private network" in Delivery.objects.get().last_error


@pytest.mark.django_db
def test_a_keyed_announcement_is_made_once():
    first = _publish(key="invoice-posted:PB-1")
    assert _publish(key="invoice-posted:PB-1").pk == first.pk
    assert Outbox.objects.count() == 1


@pytest.mark.django_db
def test_an_announcement_of_a_rolled_back_transaction_is_not_made():
    with transaction.atomic():
        _publish()
        transaction.set_rollback(True)
    assert not Outbox.objects.exists()


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("url", "ftp://x/"),
        ("url", "http://user:pass@x/"),
        ("url", "nonsense"),
        ("secret", "whsec_c2hvcnQ="),
        ("secret", "no-prefix"),
    ],
)
def test_a_wrong_subscription_is_refused(receiver, field, value):
    with pytest.raises(InvalidInput):
        _subscribe(receiver, **{field: value})


def test_several_workers_at_once_deliver_each_event_once(process_database, receiver):
    _subscribe(receiver)
    for number in range(25):
        _publish(subject=f"PB-{number}")
    results = together(*[services.deliver_outbox] * 4)
    while services.deliver_outbox():
        pass
    assert sum(results) <= 25
    ids = [headers["webhook-id"] for headers, _body in receiver.got]
    assert len(ids) == len(set(ids)) == 25
