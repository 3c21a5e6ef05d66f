"""An invoice in NetSuite from draft to paid."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import pytest

from apps.canonical.money import Money
from apps.canonical.objects import Invoice
from apps.connectors.spi import AdapterError, ErrorKind, Push
from apps.core import clock

KEY = "PB-2026-000012"


@pytest.fixture
def parties(sandbox, erp) -> dict[str, str]:
    """A customer and its project."""
    customer = {
        "companyName": "Aldergate plc",
        "subsidiary": {"id": "1"},
        "currency": {"id": "1"},
        "terms": {"id": "2"},
    }
    buyer = sandbox.control.seed({"erp": {"customer": [customer]}})["erp"]["customer"][0]
    job = {
        "companyName": "ERP roll-out",
        "parent": {"id": buyer},
        "subsidiary": {"id": "1"},
        "currency": {"id": "1"},
    }
    project = sandbox.control.seed({"erp": {"job": [job]}})["erp"]["job"][0]
    return {"customer": buyer, "project": project}


def line(key: str, amount: str, *, code: str = "SVC-IMPL", currency: str = "GBP") -> dict[str, Any]:
    money = {"amount": amount, "currency": currency}
    return {
        "key": key,
        "description": f"Line {key}",
        "billing_code": code,
        "unit_price": money,
        "amount": money,
    }


def invoice(*lines: dict[str, Any], on: date | None = None, currency: str = "GBP") -> Invoice:
    found = lines or (line("1", "60000.00"), line("2", "1250.55", code="43"))
    net = sum(Decimal(one["amount"]["amount"]) for one in found)
    return Invoice.model_validate(
        {
            "key": KEY,
            "engagement_key": "ENG-2026-000042",
            "customer_key": "crm:001A",
            "legal_entity_code": "MER-UK",
            "currency": currency,
            "status": "draft",
            "invoice_on": on or clock.now().date(),
            "po_number": "PO-7",
            "lines": found,
            "net": {"amount": str(net), "currency": currency},
        }
    )


def drafting(parties: dict[str, str], body: Invoice | None = None, **more: Any) -> Push:
    settings = {"subsidiary": "1", "terms_id": "2", "tax_code_id": "20", **more.pop("settings", {})}
    return Push(
        "invoice", "create", KEY, "i-1", body=body or invoice(), refs=parties, settings=settings, **more
    )


def posting(external_id: str = "") -> Push:
    return Push("invoice", "post", KEY, "i-2", external_id=external_id)


def paying(parties: dict[str, str], one: str, amount: str) -> Push:
    values = {"amount": amount, "currency": "GBP", "reference": "pi_1", "paid_on": str(clock.now().date())}
    return Push(
        "payment",
        "create",
        "pay-pi-1",
        "i-3",
        refs={"customer": parties["customer"], "invoice": one},
        values=values,
    )


def test_a_draft_waits_for_approval_and_has_no_number_yet(netsuite, erp, parties):
    outcome = netsuite.push(drafting(parties))
    record = erp.record("invoice", externalId=KEY)
    assert outcome.external_id == record["id"]
    assert (record["approvalStatus"]["id"], record["otherRefNum"], record["job"]["id"]) == (
        "1",
        "PO-7",
        parties["project"],
    )
    assert [one["item"]["id"] for one in record["item"]["items"]] == ["41", "43"]
    assert (outcome.facts["number"], outcome.facts["status"]) == ("", "draft")
    assert Decimal(outcome.facts["net"]) == Decimal("61250.55")
    assert Decimal(outcome.facts["tax"]) == Decimal("12250.11")


def test_a_draft_sent_again_after_a_correction_holds_only_the_new_lines(netsuite, erp, parties):
    netsuite.push(drafting(parties))
    corrected = drafting(parties, invoice(line("1", "500.00")))
    assert netsuite.probe(corrected) is None
    outcome = netsuite.push(corrected)
    record = erp.record("invoice")
    assert [one["amount"] for one in record["item"]["items"]] == [500]
    assert netsuite.probe(corrected).external_id == outcome.external_id


@pytest.mark.provokes("CUS-CREDIT-HOLD")
def test_a_customer_over_its_credit_limit_is_named(netsuite, erp, parties):
    erp.settings(enforce_credit_holds=True)
    erp.patch("customer", parties["customer"], {"creditLimit": 50_000})
    with pytest.raises(AdapterError) as caught:
        netsuite.push(drafting(parties))
    assert (caught.value.code, caught.value.field) == ("CUS-CREDIT-HOLD", "customer_key")
    erp.patch("customer", parties["customer"], {"creditHoldOverride": {"id": "OFF"}})
    assert netsuite.push(drafting(parties)).external_id


@pytest.mark.provokes("INV-ACCOUNT")
def test_an_item_without_an_income_account_is_named(netsuite, erp, parties):
    erp.patch("serviceSaleItem", "41", {"incomeAccount": None})
    with pytest.raises(AdapterError) as caught:
        netsuite.push(drafting(parties))
    assert caught.value.code == "INV-ACCOUNT"


@pytest.mark.provokes("INV-FX")
def test_a_currency_without_a_rate_of_the_day_is_named(netsuite, erp, parties):
    erp.patch("currency", "2", {"exchangeRate": 0})
    erp.patch("customer", parties["customer"], {"currencyList": {"items": [{"currency": {"id": "2"}}]}})
    dollars = invoice(line("1", "500.00", currency="USD"), currency="USD")
    with pytest.raises(AdapterError) as caught:
        netsuite.push(drafting(parties, dollars, settings={"currency_id": "2"}))
    assert caught.value.code == "INV-FX"


def test_posting_gives_the_number_and_the_total_with_tax(netsuite, erp, parties):
    one = netsuite.push(drafting(parties)).external_id
    assert netsuite.probe(posting(one)) is None
    outcome = netsuite.push(posting(one))
    assert outcome.facts["number"] == erp.record("invoice")["tranId"]
    assert outcome.facts["status"] == "posted"
    assert (
        Decimal(outcome.facts["total"]) == Decimal(outcome.facts["amount_remaining"]) == Decimal("73500.66")
    )
    assert netsuite.probe(posting(one)).facts["number"] == outcome.facts["number"]


def test_posting_twice_gives_one_number(netsuite, parties):
    one = netsuite.push(drafting(parties)).external_id
    assert netsuite.push(posting(one)).facts["number"] == netsuite.push(posting(one)).facts["number"]


def test_posting_needs_only_our_key(netsuite, parties):
    one = netsuite.push(drafting(parties)).external_id
    assert netsuite.push(posting()).external_id == one


def test_a_posting_whose_answer_was_lost_is_found_by_the_probe_with_its_number(netsuite, erp, parties):
    one = netsuite.push(drafting(parties)).external_id
    erp.fault("reset_after", method="PATCH")
    with pytest.raises(AdapterError) as caught:
        netsuite.push(posting(one))
    assert caught.value.kind is ErrorKind.UNKNOWN
    assert netsuite.probe(posting(one)).facts["number"] == erp.record("invoice")["tranId"]


def test_when_reading_back_fails_the_write_is_unknown_and_not_failed(netsuite, erp, parties):
    one = netsuite.push(drafting(parties)).external_id
    erp.fault("status", method="GET", path="/invoice/", status=503)
    with pytest.raises(AdapterError) as caught:
        netsuite.push(posting(one))
    assert caught.value.kind is ErrorKind.UNKNOWN
    assert netsuite.probe(posting(one)).facts["status"] == "posted"


def test_a_draft_that_was_posted_since_counts_as_created(netsuite, parties):
    one = netsuite.push(drafting(parties)).external_id
    netsuite.push(posting(one))
    assert netsuite.probe(drafting(parties)).external_id == one


def test_payments_move_the_invoice_from_posted_over_part_paid_to_paid(netsuite, erp, parties):
    one = netsuite.push(drafting(parties)).external_id
    netsuite.push(posting(one))
    assert netsuite.probe(paying(parties, one, "13500.66")) is None
    outcome = netsuite.push(paying(parties, one, "13500.66"))
    assert netsuite.probe(paying(parties, one, "13500.66")).external_id == outcome.external_id
    [found] = netsuite.find(object_type="invoice", by="id", value=one)
    assert (found.body.status, found.body.balance) == ("part_paid", Money.of("60000", "GBP"))
    rest = Push(**{**paying(parties, one, "60000.00").__dict__, "key": "pay-pi-2"})
    netsuite.push(rest)
    [found] = netsuite.find(object_type="invoice", by="key", value=KEY)
    assert (found.body.status, found.body.balance) == ("paid", Money.of(0, "GBP"))
    assert Decimal(found.facts["amount_remaining"]) == 0


def test_the_same_payment_sent_twice_is_applied_once(netsuite, erp, parties):
    one = netsuite.push(drafting(parties)).external_id
    netsuite.push(posting(one))
    netsuite.push(paying(parties, one, "1000.00"))
    netsuite.push(paying(parties, one, "1000.00"))
    assert len(erp.records("customerPayment")) == 1
    assert erp.record("invoice")["amountPaid"] == 1000


def test_an_invoice_is_read_back_as_it_was_written(netsuite, parties):
    one = netsuite.push(drafting(parties)).external_id
    number = netsuite.push(posting(one)).facts["number"]
    [found] = netsuite.find(object_type="invoice", by="number", value=number)
    body = found.body
    assert (body.key, body.number, body.po_number, body.currency) == (KEY, number, "PO-7", "GBP")
    assert [item.amount for item in body.lines] == [Money.of("60000", "GBP"), Money.of("1250.55", "GBP")]
    assert (body.net, body.tax, body.total) == tuple(
        Money.of(text, "GBP") for text in ("61250.55", "12250.11", "73500.66")
    )
    assert body.due_on == body.invoice_on + timedelta(days=30)
    assert found.container_id == parties["project"]


# -- what NetSuite refuses -------------------------------------------------------------------------


def refusal(netsuite, push: Push) -> tuple[str, str]:
    with pytest.raises(AdapterError) as caught:
        netsuite.push(push)
    assert caught.value.kind is ErrorKind.REJECTED
    return caught.value.code, caught.value.field


@pytest.mark.provokes("INV-PERIOD")
def test_a_closed_period_is_named(netsuite, erp, parties):
    today = clock.now().date()
    [period] = [
        one for one in erp.records("accountingPeriod") if one["startDate"] <= str(today) <= one["endDate"]
    ]
    erp.patch("accountingPeriod", period["id"], {"closed": True})
    assert refusal(netsuite, drafting(parties)) == ("INV-PERIOD", "invoice_on")
    assert erp.records("invoice") == []


@pytest.mark.provokes("DEAL-SVC-INACTIVE")
def test_an_inactive_item_is_named(netsuite, parties):
    assert refusal(netsuite, drafting(parties, invoice(line("1", "5.00", code="42")))) == (
        "DEAL-SVC-INACTIVE",
        "billing_code",
    )


def test_an_item_that_does_not_exist_is_named_by_its_line(netsuite, erp, parties):
    code, field = refusal(netsuite, drafting(parties, invoice(line("L7", "5.00", code="SVC-NONE"))))
    assert (code, field) == ("DEAL-SVC-UNMAPPED", "lines[L7].billing_code")
    assert erp.records("invoice") == []


def test_a_currency_the_customer_is_not_billed_in_is_named(netsuite, parties):
    body = invoice(line("1", "5.00", currency="EUR"), currency="EUR")
    assert refusal(netsuite, drafting(parties, body))[0] == "CUS-CURRENCY"


@pytest.mark.provokes("CUS-LE-NOT-ENABLED")
def test_a_subsidiary_the_customer_is_not_enabled_for_is_named(netsuite, parties):
    assert refusal(netsuite, drafting(parties, settings={"subsidiary": "2"}))[0] == "CUS-LE-NOT-ENABLED"


@pytest.mark.provokes("TAX-CODE", "TAX-SUB")
def test_a_missing_tax_code_and_a_foreign_one_are_told_apart(netsuite, erp, parties):
    erp.settings(tax_code_required=True)
    assert refusal(netsuite, drafting(parties, settings={"tax_code_id": ""}))[0] == "TAX-CODE"
    assert refusal(netsuite, drafting(parties, settings={"tax_code_id": "21"}))[0] == "TAX-SUB"


def test_a_tax_code_of_one_line_goes_before_the_one_of_all(netsuite, erp, parties):
    body = invoice(line("1", "100.00"), line("2", "100.00"))
    netsuite.push(drafting(parties, body, settings={"tax_code_id": ""}, values={"tax_codes": {"2": "20"}}))
    assert erp.record("invoice")["taxTotal"] == 20


@pytest.mark.provokes("CUS-INACTIVE")
def test_an_inactive_customer_is_named(netsuite, erp, parties):
    erp.patch("customer", parties["customer"], {"isInactive": True})
    assert refusal(netsuite, drafting(parties)) == ("CUS-INACTIVE", "customer_key")


# -- masters ---------------------------------------------------------------------------------------


def test_items_are_found_by_code_by_id_and_by_part_of_their_name(netsuite):
    [by_code] = netsuite.find(object_type="service_item", by="code", value="SVC-OLD")
    assert (by_code.external_id, by_code.body.active, by_code.facts["inactive"]) == ("42", False, True)
    [by_id] = netsuite.find(object_type="service_item", by="id", value="41")
    assert (by_id.body.key, by_id.body.name) == ("SVC-IMPL", "Implementation services")
    assert [
        one.external_id for one in netsuite.find(object_type="service_item", by="name", value="training")
    ] == ["43"]
    assert len(netsuite.find(object_type="service_item", by="name", value="")) == 3
    assert list(netsuite.find(object_type="service_item", by="code", value="SVC-NONE")) == []


def test_a_subsidiary_is_found_by_our_code_and_by_its_name(netsuite):
    [by_code] = netsuite.find(object_type="subsidiary", by="key", value="MER-US")
    assert (by_code.external_id, by_code.body.country, by_code.body.currency) == ("2", "US", "USD")
    [by_name] = netsuite.find(object_type="subsidiary", by="name", value="meridane uk")
    assert (by_name.external_id, by_name.body.key, by_name.body.name) == ("1", "MER-UK", "Meridane UK Ltd")
