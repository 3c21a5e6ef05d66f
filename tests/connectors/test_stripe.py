"""Stripe: the invoice flow, idempotency, minor units, polling."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Iterator
from dataclasses import replace
from datetime import date, timedelta

import pytest

from apps.canonical.money import Money
from apps.canonical.objects import Address, Customer, Invoice
from apps.connectors.adapters.stripe import forms
from apps.connectors.adapters.stripe.adapter import StripeAdapter
from apps.connectors.spi import AdapterError, ErrorKind, Outcome, Push, Settings
from apps.core import clock
from apps.demo.sandbox_client import SystemControl
from tests.sandbox_process import SandboxProcess

API_KEY = "sk_test_keyOfThisTest0000"


@pytest.fixture(scope="module")
def sandbox(free_port_block, tmp_path_factory) -> Iterator[SandboxProcess]:
    with SandboxProcess(free_port_block(7), tmp_path_factory.mktemp("stripe-sandbox")) as running:
        yield running


@pytest.fixture
def billing(sandbox: SandboxProcess) -> SystemControl:
    sandbox.control.reset(["billing"], everything=True)
    sandbox.control.credentials("billing", api_key=API_KEY)
    return sandbox.control.system("billing")


@pytest.fixture
def adapter(sandbox, billing) -> StripeAdapter:
    return StripeAdapter(
        Settings(system="billing", base_url=sandbox.url("billing"), config={}, secrets={"api_key": API_KEY})
    )


def customer_push(key: str = "cus-crm-001A", **changes) -> Push:
    body = Customer(
        key="crm:001A",
        name="Northwind",
        email="accounts@northwind.example",
        tax_id="GB123456789",
        billing_address=Address(line1="1 High Street", city="Leeds", postal_code="LS1 4AP", country="GB"),
    ).model_copy(update=changes)
    return Push(
        object_type="customer", operation="create", key=key, idempotency_key=uuid.uuid4().hex, body=body
    )


def invoice_push(customer: str, **changes) -> Push:
    body = Invoice(
        key="PB-2026-000012",
        number="INV-1042",
        engagement_key="ENG-2026-000042",
        customer_key="crm:001A",
        legal_entity_code="MER-UK",
        currency="GBP",
        status="posted",
        invoice_on=date(2026, 11, 23),
        due_on=date(2026, 12, 8),
        po_number="PO-7",
        lines=(),
        net=Money.of(1000, "GBP"),
    ).model_copy(update=changes)
    return Push(
        object_type="invoice",
        operation="create",
        key="PB-2026-000012",
        idempotency_key=uuid.uuid4().hex,
        body=body,
        refs={"customer": customer},
    )


def line_push(
    customer: str, invoice: str, amount: str = "1000.00", currency: str = "GBP", key: str = "L1"
) -> Push:
    return Push(
        object_type="invoice_line",
        operation="create",
        key=key,
        idempotency_key=uuid.uuid4().hex,
        refs={"customer": customer, "invoice": invoice},
        values={"amount": amount, "currency": currency, "description": "Kick-off", "source_key": "MS-1"},
    )


def verb_push(invoice: str, operation: str) -> Push:
    return Push(
        object_type="invoice",
        operation=operation,
        key="PB-2026-000012",
        idempotency_key=uuid.uuid4().hex,
        external_id=invoice,
    )


@pytest.fixture
def draft(adapter) -> tuple[str, str]:
    """(customer id, draft invoice id)"""
    customer = adapter.push(customer_push()).external_id
    return customer, adapter.push(invoice_push(customer)).external_id


def test_an_invoice_goes_from_draft_to_paid(sandbox, billing, adapter, draft):
    customer, invoice = draft
    adapter.push(line_push(customer, invoice))
    adapter.push(line_push(customer, invoice, "200.00", key="TAX"))
    finalized = adapter.push(verb_push(invoice, "finalize"))
    assert finalized.facts["status"] == "open"
    assert finalized.facts["number"]
    assert finalized.facts["hosted_invoice_url"].startswith("http")
    adapter.push(verb_push(invoice, "send"))
    [issued] = adapter.find(object_type="invoice", by="id", value=invoice)
    assert issued.body.status == "issued"
    assert issued.body.number == "INV-1042"
    assert issued.body.total == Money.of(1200, "GBP")
    assert issued.body.balance == Money.of(1200, "GBP")
    assert issued.body.po_number == "PO-7"
    assert [line.source_key for line in issued.body.lines] == ["MS-1", "MS-1"]
    sandbox.control.pay(invoice, amount=20000)
    [part] = adapter.find(object_type="invoice", by="id", value=invoice)
    assert (part.body.status, part.body.balance.amount) == ("part_paid", 1000)
    sandbox.control.pay(invoice)
    [paid] = adapter.find(object_type="invoice", by="id", value=invoice)
    assert paid.body.status == "paid"
    assert paid.facts["amount_paid"] == "1200.00"
    assert paid.facts["paid_at"]
    assert paid.version != part.version != issued.version


def test_the_terms_the_order_number_and_our_keys_go_along(billing, draft):
    _customer, invoice = draft
    row = billing.record("invoice", id=invoice)
    assert row["days_until_due"] == 15 or row["due_date"]
    assert {"name": "PO", "value": "PO-7"} in row["custom_fields"]
    assert row["metadata"]["pssync_key"] == "PB-2026-000012"
    assert row["metadata"]["engagement_key"] == "ENG-2026-000042"
    assert row["auto_advance"] is False


@pytest.mark.parametrize(
    ("currency", "amount", "minor"),
    [
        ("GBP", "12.34", 1234),
        ("JPY", "1234", 1234),
        ("KWD", "1.234", 1234),
        ("ISK", "100", 10000),
        ("EUR", "-5", -500),
    ],
)
def test_amounts_are_sent_in_the_units_that_stripe_counts_in(currency, amount, minor):
    assert forms.to_minor(Money.of(amount, currency)) == minor
    assert forms.from_minor(minor, currency) == Money.of(amount, currency)


@pytest.mark.parametrize(
    ("amount", "currency"), [("1.234", "GBP"), ("0.5", "JPY"), ("x", "GBP"), ("", "GBP"), ("1", "")]
)
def test_an_amount_that_is_none_is_refused_before_anything_is_sent(billing, adapter, draft, amount, currency):
    customer, invoice = draft
    with pytest.raises(AdapterError) as caught:
        adapter.push(line_push(customer, invoice, amount, currency))
    assert caught.value.kind is ErrorKind.REJECTED
    assert caught.value.field == "amount"
    assert billing.requests(path="invoiceitems") == []


def test_nested_values_become_form_fields():
    pairs = forms.flatten(
        {"address": {"line1": "x", "line2": None}, "list": [{"a": 1}], "yes": True, "clear": ""}
    )
    assert pairs == [("address[line1]", "x"), ("list[0][a]", "1"), ("yes", "true"), ("clear", "")]


def test_the_same_key_with_other_parameters_is_a_conflict_and_changes_nothing(billing, adapter):
    push = customer_push()
    adapter.push(push)
    other = Push(**{**push.__dict__, "body": push.body.model_copy(update={"name": "Somebody else"})})
    with pytest.raises(AdapterError) as caught:
        adapter.push(other)
    assert caught.value.kind is ErrorKind.CONFLICT
    assert [row["name"] for row in billing.records("customer")] == ["Northwind"]


def test_a_kept_failure_is_looked_into_and_then_written_under_another_key(billing, adapter):
    """Stripe replays also a 500 for a day; the retry must not be stuck on it."""
    push = customer_push()
    body = {"error": {"type": "api_error", "message": "boom"}}
    billing.fault(
        "status",
        method="POST",
        path="/v1/customers",
        status=500,
        body=body,
        headers={"Idempotent-Replayed": "true"},
    )
    outcome = adapter.push(push)
    assert outcome.created
    assert len(billing.records("customer")) == 1
    keys = [entry["idempotency_key"] for entry in billing.requests(method="POST", path="/v1/customers")]
    assert keys == [f"pssync-{push.idempotency_key}", f"pssync-{push.idempotency_key}-again"]


def test_a_kept_failure_whose_write_did_happen_is_found_and_not_repeated(billing, adapter):
    push = customer_push()
    first = adapter.push(push)
    body = {"error": {"type": "api_error", "message": "boom"}}
    billing.fault(
        "status",
        method="POST",
        path="/v1/customers",
        status=500,
        body=body,
        headers={"Idempotent-Replayed": "true"},
    )
    assert adapter.push(push).external_id == first.external_id
    assert len(billing.records("customer")) == 1


def test_after_a_day_the_probe_finds_an_older_object_by_search(sandbox, billing, adapter):
    created = int(time.time()) - 2 * 86_400
    row = {
        "id": "cus_old",
        "name": "Northwind",
        "created": created,
        "metadata": {"pssync_key": "cus-crm-001A"},
    }
    sandbox.control.seed({"billing": {"customer": [row]}})
    found = adapter.probe(customer_push())
    assert found is not None
    assert found.external_id == "cus_old"
    assert not found.created


def test_two_objects_of_one_key_are_a_case_for_a_person(sandbox, adapter):
    rows = [
        {"id": f"cus_{n}", "name": "Northwind", "metadata": {"pssync_key": "cus-crm-001A"}} for n in range(2)
    ]
    sandbox.control.seed({"billing": {"customer": rows}})
    with pytest.raises(AdapterError) as caught:
        adapter.probe(customer_push())
    assert caught.value.code == "CUS-DUP"
    assert sorted(caught.value.details["ids"]) == ["cus_0", "cus_1"]


@pytest.mark.provokes("INV-DUP")
def test_two_requests_of_one_key_are_a_case_for_a_person(sandbox, adapter):
    customer = adapter.push(customer_push()).external_id
    push = invoice_push(customer)
    for _ in range(2):  # as two workers made it, each with its own idempotency key
        adapter.push(replace(push, idempotency_key=uuid.uuid4().hex))
    with pytest.raises(AdapterError) as caught:
        adapter.probe(push)
    assert caught.value.code == "INV-DUP"
    assert len(caught.value.details["ids"]) == 2


@pytest.mark.provokes("INV-DELIVERY")
def test_an_address_that_cannot_be_mailed_to_is_refused(adapter):
    with pytest.raises(AdapterError) as caught:
        adapter.push(customer_push(email="accounts at northwind"))
    assert (caught.value.code, caught.value.field) == ("INV-DELIVERY", "email")


def test_finalizing_twice_is_done_once_and_no_error(adapter, draft):
    customer, invoice = draft
    adapter.push(line_push(customer, invoice))
    push = verb_push(invoice, "finalize")
    assert adapter.probe(push) is None
    adapter.push(push)
    assert isinstance(adapter.probe(push), Outcome)
    again = adapter.push(verb_push(invoice, "finalize"))
    assert again.external_id == invoice
    assert not again.created


def test_sending_is_probed_by_its_event(adapter, draft):
    customer, invoice = draft
    adapter.push(line_push(customer, invoice))
    adapter.push(verb_push(invoice, "finalize"))
    push = verb_push(invoice, "send")
    assert adapter.probe(push) is None
    adapter.push(push)
    assert adapter.probe(push) is not None


def test_a_line_is_probed_on_its_invoice(adapter, draft):
    customer, invoice = draft
    push = line_push(customer, invoice)
    assert adapter.probe(push) is None
    made = adapter.push(push)
    found = adapter.probe(push)
    assert found is not None
    assert found.external_id == made.external_id


def test_an_invoice_that_is_not_ours_is_none_of_our_business(billing, adapter):
    customer = billing.create("customer", {"name": "Walk-in"})
    invoice = billing.create("invoice", {"customer": customer["id"], "currency": "gbp"})
    assert adapter.find(object_type="invoice", by="id", value=invoice["id"]) == []


def test_an_invoice_and_a_customer_are_found_by_our_key(adapter, draft):
    customer, invoice = draft
    [found] = adapter.find(object_type="invoice", by="key", value="PB-2026-000012")
    assert found.external_id == invoice
    [found] = adapter.find(object_type="customer", by="key", value="cus-crm-001A")
    assert (found.external_id, found.body.key) == (customer, "crm:001A")


@pytest.mark.parametrize(
    ("status", "error", "headers", "kind", "code"),
    [
        (
            400,
            {"code": "tax_id_invalid", "param": "tax_id_data[0][value]"},
            {},
            ErrorKind.REJECTED,
            "CUS-TAXID-INVALID",
        ),
        pytest.param(
            400,
            {"code": "parameter_unknown", "param": "nope"},
            {},
            ErrorKind.CONTRACT_DRIFT,
            "INT-SCHEMA",
            marks=pytest.mark.provokes("INT-SCHEMA"),
        ),
        (
            409,
            {"type": "idempotency_error", "code": "idempotency_key_in_use"},
            {},
            ErrorKind.TRANSIENT,
            "INT-LOCK",
        ),
        (429, {"code": "lock_timeout"}, {}, ErrorKind.TRANSIENT, "INT-LOCK"),
        (402, {"type": "card_error"}, {}, ErrorKind.REJECTED, ""),
        (400, {"code": "whatever"}, {"Stripe-Should-Retry": "true"}, ErrorKind.TRANSIENT, ""),
        (500, {"type": "api_error"}, {"Stripe-Should-Retry": "true"}, ErrorKind.UNKNOWN, ""),
    ],
)
def test_errors_are_sorted(billing, adapter, status, error, headers, kind, code):
    body = {"error": {"message": "x", **error}}
    billing.fault("status", method="POST", path="/v1/customers", status=status, body=body, headers=headers)
    with pytest.raises(AdapterError) as caught:
        adapter.push(customer_push())
    assert (caught.value.kind, caught.value.code) == (kind, code)
    if error.get("param") == "tax_id_data[0][value]":
        assert caught.value.field == "tax_id"


def test_polling_tells_what_was_paid_while_no_webhook_came(sandbox, adapter, draft):
    customer, invoice = draft
    adapter.push(line_push(customer, invoice))
    adapter.push(verb_push(invoice, "finalize"))
    cursor = adapter.fetch(object_type="invoice", cursor="").cursor
    sandbox.control.pay(invoice)
    page = adapter.fetch(object_type="invoice", cursor=cursor)
    paid = [change for change in page.changes if change.event_type == "invoice.paid"]
    assert [change.external_id for change in paid] == [invoice]
    assert not paid[0].own_write
    assert [change.own_write for change in page.changes if change.event_type == "invoice.finalized"] == [True]
    times = [change.occurred_at for change in page.changes]
    assert times == sorted(times)


def test_a_cursor_older_than_the_events_that_stripe_keeps_says_so(adapter):
    old = int((clock.now() - timedelta(days=40)).timestamp())
    page = adapter.fetch(object_type="invoice", cursor=json.dumps({"high": old}))
    assert [(change.external_id, change.event_type) for change in page.changes] == [("*", "GAP")]


def test_a_dispute_is_read_with_the_invoice_whose_payment_it_is_about(sandbox, billing, adapter, draft):
    customer, invoice = draft
    adapter.push(line_push(customer, invoice))
    adapter.push(verb_push(invoice, "finalize"))
    sandbox.control.pay(invoice)
    dispute = sandbox.control.dispute(invoice, amount=500, reason="product_not_received")["id"]
    told = adapter.fetch(object_type="invoice", cursor="").changes
    news = [one for one in told if one.event_type.startswith("charge.dispute.")]
    assert {(one.object_type, one.external_id) for one in news} == {("dispute", dispute)}
    assert len(news) == 2, "created, and the money withdrawn"
    [found] = adapter.find(object_type="dispute", by="id", value=dispute)
    assert (found.body.key, found.body.invoice_key) == (f"billing:{dispute}", "PB-2026-000012")
    assert (found.body.amount, found.body.status) == (Money.of("5", "GBP"), "open")
    assert found.body.reason == "product not received"
    assert found.body.answer_by > found.body.opened_at
    assert found.container_id == invoice
    for status, ours in (("lost", "lost"), ("prevented", "won"), ("warning_closed", "closed")):
        sandbox.control.close_dispute(dispute, status=status)
        [found] = adapter.find(object_type="dispute", by="id", value=dispute)
        assert found.body.status == ours
    assert adapter.find(object_type="dispute", by="id", value="du_none") == []


def test_a_dispute_of_a_strangers_invoice_names_none_of_ours(sandbox, billing, adapter):
    customer = billing.create("customer", {"name": "Walk-in"})
    line = {"amount": 900, "description": "x"}
    invoice = billing.create(
        "invoice", {"customer": customer["id"], "currency": "gbp", "lines": [line], "status": "paid"}
    )
    dispute = sandbox.control.dispute(invoice["id"])["id"]
    [found] = adapter.find(object_type="dispute", by="id", value=dispute)
    assert (found.body.invoice_key, found.body.amount) == (None, Money.of("9", "GBP"))


def test_what_a_register_says_of_a_tax_id_is_a_fact_of_the_customer(sandbox, adapter):
    customer = adapter.push(customer_push()).external_id
    sandbox.control.verify_tax_id(customer, name="NORTHWIND LIMITED")
    changes = adapter.fetch(object_type="invoice", cursor="").changes
    [told] = [one for one in changes if one.event_type == "customer.tax_id.updated"]
    assert (told.object_type, told.external_id, told.own_write) == ("customer", customer, False)
    [found] = adapter.find(object_type="customer", by="id", value=customer)
    assert found.facts["tax_ids"] == [
        {"value": "GB123456789", "type": "gb_vat", "status": "verified", "name": "NORTHWIND LIMITED"}
    ]
