"""The billing platform as unmodified stripe-python sees it."""

import threading

import pytest
import requests
import stripe

from apps.demo.sandbox_client import ControlError

from .conftest import STRIPE_KEY


@pytest.fixture
def client(sandbox) -> stripe.StripeClient:
    return stripe.StripeClient(
        STRIPE_KEY, base_addresses={"api": sandbox.url("billing")}, max_network_retries=0
    )


def draft(client, **more):
    customer = client.v1.customers.create({"name": "Aldgate", "email": "ap@aldgate.test"})
    body = {
        "customer": customer.id,
        "currency": "eur",
        "collection_method": "send_invoice",
        "days_until_due": 30,
    }
    return client.v1.invoices.create({**body, **more})


def open_invoice(client, amount: int = 10_000):
    invoice = draft(client)
    client.v1.invoice_items.create(
        {
            "customer": invoice.customer,
            "invoice": invoice.id,
            "amount": amount,
            "currency": "eur",
            "description": "x",
        }
    )
    return client.v1.invoices.finalize_invoice(invoice.id)


def test_an_invoice_goes_from_draft_to_open_to_paid(client, sandbox):
    invoice = draft(
        client, metadata={"canonical_id": "INV-1"}, custom_fields=[{"name": "PO", "value": "4711"}]
    )
    assert (invoice.status, invoice.number, invoice.custom_fields[0].value) == ("draft", None, "4711")
    client.v1.invoices.add_lines(
        invoice.id,
        {"lines": [{"quantity_decimal": "7.5", "unit_amount_decimal": "15000", "description": "Consulting"},
                   {"amount": 500, "description": "Travel"}]},
    )  # fmt: skip
    opened = client.v1.invoices.finalize_invoice(invoice.id)
    assert (opened.status, opened.total, opened.amount_remaining) == ("open", 113_000, 113_000)
    assert opened.number
    assert opened.due_date > opened.created
    assert client.v1.invoices.send_invoice(invoice.id).status == "open"
    part = sandbox.control.pay(invoice.id, amount=13_000)
    assert (part["status"], part["amount_remaining"]) == ("open", 100_000)
    assert sandbox.control.pay(invoice.id)["status"] == "paid"
    assert client.v1.invoices.retrieve(invoice.id).amount_paid == 113_000
    kinds = [event.type for event in client.v1.events.list({"limit": 100}).auto_paging_iter()]
    assert {"invoice.finalized", "invoice.sent", "invoice.paid"} <= set(kinds)


def test_paying_out_of_band_voiding_and_writing_off(client):
    first, second, third = (open_invoice(client) for _ in range(3))
    assert client.v1.invoices.pay(first.id, {"paid_out_of_band": True}).status == "paid"
    assert client.v1.invoices.void_invoice(second.id).status == "void"
    assert client.v1.invoices.mark_uncollectible(third.id).status == "uncollectible"
    with pytest.raises(stripe.InvalidRequestError) as caught:
        client.v1.invoices.pay(first.id, {"paid_out_of_band": True})
    assert caught.value.code == "invoice_already_paid"
    with pytest.raises(stripe.InvalidRequestError) as caught:
        client.v1.invoice_items.create(
            {"customer": first.customer, "invoice": first.id, "amount": 1, "currency": "eur"}
        )
    assert caught.value.code == "invoice_not_editable"


def test_a_credit_note_reduces_what_is_due_and_its_void_restores_it(client):
    invoice = open_invoice(client)
    note = client.v1.credit_notes.create({"invoice": invoice.id, "amount": 4_000, "reason": "duplicate"})
    assert note.number == f"{invoice.number}-CN-01"
    assert client.v1.invoices.retrieve(invoice.id).amount_remaining == 6_000
    client.v1.credit_notes.void_credit_note(note.id)
    assert client.v1.invoices.retrieve(invoice.id).amount_remaining == 10_000


def test_an_idempotency_key_replays_and_refuses_other_parameters(client, sandbox):
    body, options = {"name": "Once"}, {"idempotency_key": "key-1"}
    first = client.v1.customers.create(body, options)
    second = client.v1.customers.create(body, options)
    assert second.id == first.id
    assert second.last_response.headers["Idempotent-Replayed"] == "true"
    assert len(sandbox.control.records("billing", "customer")) == 1
    with pytest.raises(stripe.IdempotencyError):
        client.v1.customers.create({"name": "Other"}, options)


def test_a_key_is_not_used_up_by_a_request_that_failed_validation(client):
    with pytest.raises(stripe.InvalidRequestError) as caught:
        client.v1.customers.create({"nope": "x"}, {"idempotency_key": "key-2"})
    assert caught.value.code == "parameter_unknown"
    assert client.v1.customers.create({"name": "Now"}, {"idempotency_key": "key-2"}).name == "Now"


def test_a_failure_during_execution_is_replayed_too(client):
    body = {"customer": "cus_missing", "amount": 1, "currency": "eur"}
    for _ in range(2):
        with pytest.raises(stripe.InvalidRequestError) as caught:
            client.v1.invoice_items.create(body, {"idempotency_key": "key-3"})
        assert caught.value.code == "resource_missing"
    assert caught.value.headers["Idempotent-Replayed"] == "true"


def test_the_same_key_at_the_same_time_is_a_409(sandbox):
    headers = {"Authorization": f"Bearer {STRIPE_KEY}", "Idempotency-Key": "key-4"}
    url = f"{sandbox.url('billing')}/v1/customers"
    sandbox.control.fault("billing", "latency", path="/v1/customers", seconds=1.0)
    answers = []
    slow = threading.Thread(
        target=lambda: answers.append(requests.post(url, data={"name": "x"}, headers=headers, timeout=10))
    )
    slow.start()
    sandbox.control.system("billing").wait_for(lambda s: s.faults()[0]["hits"])
    clash = requests.post(url, data={"name": "x"}, headers=headers, timeout=10)
    slow.join()
    assert (clash.status_code, clash.json()["error"]["type"]) == (409, "idempotency_error")
    assert answers[0].status_code == 200


def test_lists_page_by_cursor_and_search_lags_behind(client, sandbox):
    made = [
        client.v1.customers.create({"name": f"C{n}", "metadata": {"canonical_id": str(n)}}).id
        for n in range(5)
    ]
    first = client.v1.customers.list({"limit": 2})
    assert ([c.id for c in first.data], first.has_more) == (made[:2:-1], True)
    assert [c.id for c in client.v1.customers.list({"limit": 2}).auto_paging_iter()] == made[::-1]
    query = {"query": "metadata['canonical_id']:'3'"}
    assert client.v1.customers.search(query).data == []
    sandbox.control.settings("billing", search_lag_seconds=0)
    assert [c.id for c in client.v1.customers.search(query).data] == [made[3]]


def test_a_wrong_key_and_a_missing_object_are_told_apart(client, sandbox):
    wrong = stripe.StripeClient("sk_test_wrong", base_addresses={"api": sandbox.url("billing")})
    with pytest.raises(stripe.AuthenticationError):
        wrong.v1.customers.list()
    with pytest.raises(stripe.InvalidRequestError) as caught:
        client.v1.invoices.retrieve("in_missing")
    assert (caught.value.http_status, caught.value.code) == (404, "resource_missing")
    assert (
        requests.get(f"{sandbox.url('billing')}/v1/account", auth=(STRIPE_KEY, ""), timeout=10).status_code
        == 200
    )


def test_a_dispute_names_the_payment_and_the_payment_its_invoice(client, sandbox):
    invoice = open_invoice(client)
    with pytest.raises(ControlError, match="nothing was charged"):
        sandbox.control.dispute(invoice.id)
    sandbox.control.pay(invoice.id)
    opened = sandbox.control.dispute(invoice.id, amount=4_000, reason="duplicate")
    dispute = client.v1.disputes.retrieve(opened["id"])
    assert (dispute.status, dispute.amount, dispute.reason) == ("needs_response", 4_000, "duplicate")
    assert dispute.evidence_details.due_by > dispute.created
    paid = {"payment": {"type": "payment_intent", "payment_intent": dispute.payment_intent}}
    [payment] = client.v1.invoice_payments.list(paid).data
    assert (payment.invoice, payment.amount_paid) == (invoice.id, 10_000)
    other = {"payment": {"type": "payment_intent", "payment_intent": "pi_other"}}
    assert client.v1.invoice_payments.list(other).data == []
    assert [one.id for one in client.v1.disputes.list({"payment_intent": dispute.payment_intent})] == [
        dispute.id
    ]
    assert sandbox.control.close_dispute(dispute.id, status="lost")["status"] == "lost"
    kinds = [event.type for event in client.v1.events.list({"limit": 100}).auto_paging_iter()]
    told = [kind for kind in kinds if kind.startswith("charge.dispute.")]
    assert told == ["charge.dispute.closed", "charge.dispute.funds_withdrawn", "charge.dispute.created"]
    assert client.v1.invoices.retrieve(invoice.id).status == "paid", (
        "a lost dispute leaves the invoice as it was"
    )


def test_a_register_answers_about_a_tax_id_later(client, sandbox):
    made = client.v1.customers.create(
        {"name": "Aldgate", "tax_id_data": [{"type": "eu_vat", "value": "DE136695976"}]}
    )

    def verification():
        [found] = client.v1.customers.tax_ids.list(made.id).data
        return found.verification

    assert (verification().status, verification().verified_name) == ("pending", None)
    sandbox.control.verify_tax_id(made.id, status="unavailable")
    assert verification().status == "unavailable"
    sandbox.control.verify_tax_id(made.id, name="ALDGATE GMBH")
    assert (verification().status, verification().verified_name) == ("verified", "ALDGATE GMBH")
    kinds = [event.type for event in client.v1.events.list({"limit": 100}).auto_paging_iter()]
    assert kinds.count("customer.tax_id.updated") == 2
