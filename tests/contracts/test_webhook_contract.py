"""Webhooks as the emulated vendors really send them."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Iterator
from datetime import timedelta

import pytest

from apps.connectors.spi import Push, WebhookRefused
from apps.core import clock
from tests.contracts.rigs import RIGS, Rig
from tests.sandbox_process import SandboxProcess


class Mailbox:
    """Takes posts and keeps them: ``[(headers, body), …]``."""

    def __init__(self) -> None:
        self.got: list[tuple[dict[str, str], bytes]] = []
        self.arrived = threading.Condition()
        mailbox = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                with mailbox.arrived:
                    mailbox.got.append((dict(self.headers.items()), body))
                    mailbox.arrived.notify_all()
                self.send_response(204)
                self.end_headers()

            def log_message(self, *_arguments) -> None:
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self._server.server_port}/hooks"

    def first(self, wanted, *, seconds: float = 10.0) -> tuple[dict[str, str], bytes]:
        """The first post for which ``wanted(body)`` holds."""

        def found():
            return next((item for item in self.got if wanted(item[1])), None)

        with self.arrived:
            assert self.arrived.wait_for(lambda: found() is not None, timeout=seconds), "no such webhook came"
            item = found()
            assert item is not None
            return item

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def mailbox() -> Iterator[Mailbox]:
    box = Mailbox()
    yield box
    box.close()


@pytest.fixture(params=[name for name, rig in sorted(RIGS.items()) if rig.pushes_events])
def rig(request, sandbox: SandboxProcess, mailbox: Mailbox) -> Rig:
    made = RIGS[request.param](sandbox)
    made.reset()
    made.control.webhook(mailbox.url, secret=made.webhook_secret)
    return made


@pytest.fixture
def pushed(rig: Rig, mailbox: Mailbox) -> tuple[str, dict[str, str], bytes]:
    """A change that the vendor told us: (id of the object, headers, body)."""
    external_id = rig.seed()
    rig.change(external_id)
    headers, body = mailbox.first(lambda body: external_id.encode() in body)
    return external_id, headers, body


def test_a_genuine_webhook_names_what_changed(rig, pushed):
    external_id, headers, body = pushed
    event_id, changes = rig.adapter().receive(
        headers=headers, body=body, secrets=[rig.webhook_secret], now=clock.now()
    )
    assert event_id
    assert [(change.object_type, change.external_id) for change in changes] == [(rig.reads, external_id)]
    assert changes[0].occurred_at is not None
    assert not changes[0].own_write


def test_an_old_and_a_new_secret_both_count_while_it_is_replaced(rig, pushed):
    _external_id, headers, body = pushed
    other = "whsec_YW5vdGhlci1zZWNyZXQtb2YtMjQtYnl0ZXM="
    event_id, _changes = rig.adapter().receive(
        headers=headers, body=body, secrets=[other, rig.webhook_secret], now=clock.now()
    )
    assert event_id
    with pytest.raises(WebhookRefused) as caught:
        rig.adapter().receive(headers=headers, body=body, secrets=[other], now=clock.now())
    assert caught.value.reason == "bad_signature"


def test_one_altered_byte_is_refused(rig, pushed):
    _external_id, headers, body = pushed
    with pytest.raises(WebhookRefused) as caught:
        rig.adapter().receive(
            headers=headers, body=body[:-1] + b" ", secrets=[rig.webhook_secret], now=clock.now()
        )
    assert caught.value.reason == "bad_signature"


@pytest.mark.parametrize("minutes", [-6, 6])
def test_a_webhook_from_another_time_is_refused(rig, pushed, minutes):
    _external_id, headers, body = pushed
    with pytest.raises(WebhookRefused) as caught:
        rig.adapter().receive(
            headers=headers,
            body=body,
            secrets=[rig.webhook_secret],
            now=clock.now() + timedelta(minutes=minutes),
        )
    assert caught.value.reason == "stale"


def test_our_own_write_comes_back_marked_as_an_echo(rig, mailbox, sandbox):
    """Salesforce echoes the client of the call, Stripe its idempotency key."""
    adapter = rig.adapter()
    if rig.vendor == "salesforce":
        external_id = rig.seed()
        account = rig.control.records("Account")[0]["Id"]
        adapter.push(
            Push(
                object_type="customer_ref",
                operation="update",
                key="cus-1",
                idempotency_key="1",
                external_id=account,
                values={"erp_customer_id": "647"},
            )
        )
        external_id = account
    else:
        external_id = rig.seed()
        rig.control.patch("invoice", external_id, {"status": "draft"})
        adapter.push(
            Push(
                object_type="invoice",
                operation="finalize",
                key="PB-1",
                idempotency_key="finalize-1",
                external_id=external_id,
            )
        )
    marker = b"client=pssync" if rig.vendor == "salesforce" else b"pssync-finalize-1"
    headers, body = mailbox.first(lambda body: external_id.encode() in body and marker in body)
    _event_id, changes = adapter.receive(
        headers=headers, body=body, secrets=[rig.webhook_secret], now=clock.now()
    )
    assert [change.own_write for change in changes if change.external_id == external_id] == [True]
