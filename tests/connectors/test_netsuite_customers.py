"""Finding a customer in NetSuite by the match ladder, and writing one without making a second."""

from __future__ import annotations

from typing import Any

import pytest

from apps.canonical.objects import Address, Customer
from apps.connectors.adapters.netsuite.adapter import NetSuiteAdapter
from apps.connectors.adapters.netsuite.customers import significant_word
from apps.connectors.spi import AdapterError, ErrorKind, Push
from tests.connectors.sandboxed import netsuite_settings


def address(country: str, city: str = "Leeds") -> dict[str, Any]:
    held = {"addr1": "1 High Street", "city": city, "zip": "LS1", "country": {"id": country}}
    return {"items": [{"defaultBilling": True, "addressBookAddress": held}]}


def customer(**changes: Any) -> dict[str, Any]:
    return {
        "companyName": "Aldergate Foods plc",
        "subsidiary": {"id": "1"},
        "currency": {"id": "1"},
        "terms": {"id": "2"},
        "vatRegNumber": "GB123456789",
        "email": "billing@aldergate.example",
        "url": "https://www.aldergate.example",
        "addressBook": address("GB"),
        **changes,
    }


def canonical(**changes: Any) -> Customer:
    return Customer.model_validate(
        {
            "key": "crm:001A",
            "name": "Aldergate Foods plc",
            "currency": "GBP",
            "tax_id": "GB123456789",
            "email": "billing@aldergate.example",
            "website": "https://www.aldergate.example",
            "billing_address": {
                "line1": "1 High Street",
                "city": "Leeds",
                "postal_code": "LS1",
                "country": "GB",
            },
            **changes,
        }
    )


def creation(body: Customer | None = None, **changes: Any) -> Push:
    values: dict[str, Any] = {
        "object_type": "customer",
        "operation": "create",
        "key": "cus-crm-001A",
        "idempotency_key": "i-1",
        "body": body or canonical(),
        "settings": {"subsidiary": "1", "terms_id": "2"},
    }
    return Push(**{**values, **changes})


def ids(found) -> list[str]:
    return [one.external_id for one in found]


# -- reading ---------------------------------------------------------------------------------------


def test_a_customer_is_read_with_the_facts_that_planning_needs(netsuite, sandbox):
    [one] = sandbox.control.seed({"erp": {"customer": [customer(creditHoldOverride={"id": "ON"})]}})["erp"][
        "customer"
    ]
    sandbox.control.seed(
        {"erp": {"customerSubsidiaryRelationship": [{"entity": {"id": one}, "subsidiary": {"id": "2"}}]}}
    )
    [found] = netsuite.find(object_type="customer", by="id", value=one)
    body = found.body
    assert (body.name, body.currency, body.tax_id) == ("Aldergate Foods plc", "GBP", "GB123456789")
    assert (body.payment_terms, body.legal_entities) == ("Net 30", ("MER-UK", "MER-US"))
    assert (body.billing_address.city, body.billing_address.country) == ("Leeds", "GB")
    assert found.facts["credit_hold"] is True
    assert found.facts["inactive"] is False
    assert found.facts["subsidiaries"] == ["1", "2"]
    assert found.facts["currency"] == "GBP"
    assert found.modified_at is not None
    assert found.version
    assert found.url == f"https://merridane.app.netsuite.com/app/common/entity/custjob.nl?id={one}"


def test_a_merged_duplicate_names_its_survivor(netsuite, sandbox):
    seeded = [customer(isInactive=True, custentity_merged_into="77")]
    [one] = sandbox.control.seed({"erp": {"customer": seeded}})["erp"]["customer"]
    [found] = netsuite.find(object_type="customer", by="id", value=one)
    assert found.body.status == "inactive"
    assert found.facts["replaced_by"] == "77"


def test_nobody_is_found_by_an_id_that_is_not_there(netsuite):
    for by, value in [
        ("id", "999999"),
        ("id", "abc"),
        ("claimed_id", "12 OR 1=1"),
        ("key", "cus-none"),
        ("tax_id", ""),
    ]:
        assert list(netsuite.find(object_type="customer", by=by, value=value)) == []


def test_a_customer_is_found_by_our_external_key_and_by_the_id_the_crm_claims(netsuite, sandbox):
    [one] = sandbox.control.seed({"erp": {"customer": [customer(externalId="cus-crm-001A")]}})["erp"][
        "customer"
    ]
    assert ids(netsuite.find(object_type="customer", by="key", value="cus-crm-001A")) == [one]
    assert ids(netsuite.find(object_type="customer", by="claimed_id", value=one)) == [one]


@pytest.mark.parametrize("spelling", ["GB123456789", "gb 123456789", "123456789", "GB 123456789"])
def test_a_tax_id_is_found_in_any_common_spelling(netsuite, sandbox, spelling):
    [one] = sandbox.control.seed({"erp": {"customer": [customer()]}})["erp"]["customer"]
    assert ids(
        netsuite.find(object_type="customer", by="tax_id", value=spelling, extra={"country": "GB"})
    ) == [one]


def test_the_same_tax_number_of_another_country_is_somebody_else(netsuite, sandbox):
    sandbox.control.seed(
        {"erp": {"customer": [customer(vatRegNumber="123456789", addressBook=address("IE"))]}}
    )
    assert (
        list(netsuite.find(object_type="customer", by="tax_id", value="GB123456789", extra={"country": "GB"}))
        == []
    )


def test_two_customers_with_one_tax_id_are_both_returned(netsuite, sandbox):
    both = [customer(), customer(companyName="Aldergate Foods (old)", vatRegNumber="GB 123456789")]
    seeded = sandbox.control.seed({"erp": {"customer": both}})["erp"]["customer"]
    found = netsuite.find(object_type="customer", by="tax_id", value="GB123456789", extra={"country": "GB"})
    assert sorted(ids(found)) == sorted(seeded)


def test_a_domain_is_found_in_the_web_site_and_in_the_mail_address_but_not_inside_another(netsuite, sandbox):
    seeded = sandbox.control.seed(
        {
            "erp": {
                "customer": [
                    customer(companyName="By site", email=""),
                    customer(companyName="By mail", url=""),
                    customer(
                        companyName="Other",
                        url="https://notaldergate.example",
                        email="x@notaldergate.example",
                    ),
                ]
            }
        }
    )["erp"]["customer"]
    found = netsuite.find(
        object_type="customer", by="domain", value="www.aldergate.example", extra={"country": "GB"}
    )
    assert sorted(ids(found)) == sorted(seeded[:2])


def test_a_name_finds_candidates_that_share_its_most_telling_word(netsuite, sandbox):
    seeded = sandbox.control.seed(
        {
            "erp": {
                "customer": [
                    customer(),
                    customer(companyName="ALDERGATE Food Ltd"),
                    customer(companyName="Northwind"),
                ]
            }
        }
    )["erp"]["customer"]
    found = netsuite.find(
        object_type="customer", by="name", value="Aldergate Foods Limited", extra={"country": "GB"}
    )
    assert sorted(ids(found)) == sorted(seeded[:2])


def test_a_quote_in_a_name_is_data_and_no_statement(netsuite, sandbox):
    [one] = sandbox.control.seed({"erp": {"customer": [customer(companyName="O'Haraldson")]}})["erp"][
        "customer"
    ]
    assert ids(netsuite.find(object_type="customer", by="name", value="O'Haraldson")) == [one]
    assert list(netsuite.find(object_type="customer", by="tax_id", value="x' OR '1'='1")) == []


def test_a_registration_number_is_searched_in_the_configured_custom_field(sandbox, erp, rsa_key):
    field = "custentity_registration_number"
    [one] = sandbox.control.seed({"erp": {"customer": [customer(**{field: "SC 1234"})]}})["erp"]["customer"]
    configured = NetSuiteAdapter(netsuite_settings(sandbox, rsa_key[0], registration_field=field))
    assert ids(configured.find(object_type="customer", by="registration", value="SC 1234")) == [one]
    without = NetSuiteAdapter(netsuite_settings(sandbox, rsa_key[0]))
    assert list(without.find(object_type="customer", by="registration", value="SC 1234")) == []


@pytest.mark.parametrize(
    ("name", "word"),
    [
        ("Aldergate Foods plc", "Aldergate"),
        ("The AB Group", "Group"),
        ("Ltd", "Ltd"),
        ("Ørsted A/S", "Ørsted"),
    ],
)
def test_the_most_telling_word_is_never_the_legal_form(name, word):
    assert significant_word(name) == word


# -- writing ---------------------------------------------------------------------------------------


def test_a_customer_is_created_under_our_key_with_everything_it_needs(netsuite, erp):
    outcome = netsuite.push(creation())
    record = erp.record("customer", externalId="cus-crm-001A")
    assert outcome.external_id == record["id"]
    assert record["companyName"] == "Aldergate Foods plc"
    assert (record["subsidiary"]["id"], record["currency"]["id"], record["terms"]["refName"]) == (
        "1",
        "1",
        "Net 30",
    )
    assert record["addressBook"]["items"][0]["addressBookAddress"]["country"]["id"] == "GB"
    [found] = netsuite.find(object_type="customer", by="key", value="cus-crm-001A")
    assert found.body.billing_address == canonical().billing_address
    assert outcome.exchange.status == 204


def test_sending_the_same_customer_again_changes_nothing_and_adds_no_second_address(netsuite, erp):
    first, second = netsuite.push(creation()), netsuite.push(creation())
    assert first.external_id == second.external_id
    record = erp.record("customer")
    assert len(record["addressBook"]["items"]) == 1


def test_a_repeated_create_does_not_wake_a_customer_that_was_closed_in_the_erp(netsuite, erp):
    one = netsuite.push(creation()).external_id
    erp.patch("customer", one, {"isInactive": True})
    netsuite.push(creation())
    assert erp.record("customer")["isInactive"] is True


def test_an_answer_lost_after_the_write_is_unknown_and_the_probe_finds_the_customer(netsuite, erp):
    erp.fault("reset_after", method="PUT")
    with pytest.raises(AdapterError) as caught:
        netsuite.push(creation())
    assert caught.value.kind is ErrorKind.UNKNOWN
    outcome = netsuite.probe(creation())
    assert outcome.external_id == erp.record("customer")["id"]


def test_a_request_lost_before_the_write_is_unknown_too_and_the_probe_says_it_is_not_there(netsuite, erp):
    assert netsuite.check().ok
    erp.fault("reset_before", method="PUT")
    with pytest.raises(AdapterError) as caught:
        netsuite.push(creation())
    assert caught.value.kind is ErrorKind.UNKNOWN
    assert netsuite.probe(creation()) is None
    netsuite.push(creation())
    assert len(erp.records("customer")) == 1


def test_an_older_version_under_our_key_does_not_pass_for_the_write(netsuite):
    netsuite.push(creation())
    assert netsuite.probe(creation(canonical(email="new@aldergate.example"))) is None


def test_an_update_writes_only_the_fields_it_was_given(netsuite, erp):
    one = netsuite.push(creation()).external_id
    erp.patch("customer", one, {"phone": "+44 1", "email": "typed@aldergate.example"})
    change = creation(
        canonical(name="Aldergate Group plc", email=""), operation="update", external_id=one, fields=("name",)
    )
    outcome = netsuite.push(change)
    record = erp.record("customer")
    assert outcome.created is False
    assert (record["companyName"], record["email"], record["phone"]) == (
        "Aldergate Group plc",
        "typed@aldergate.example",
        "+44 1",
    )
    assert netsuite.probe(change).external_id == one


def test_a_new_billing_address_leaves_the_other_addresses_of_the_customer_alone(netsuite, erp):
    one = netsuite.push(creation()).external_id
    depot = {
        "label": "Depot",
        "defaultShipping": True,
        "addressBookAddress": {"addr1": "9 Dock Road", "city": "Hull", "country": {"id": "GB"}},
    }
    [billing] = erp.record("customer")["addressBook"]["items"]
    erp.patch("customer", one, {"addressBook": {"items": [depot, billing]}})
    moved = Address(line1="2 New Street", city="Leeds", postal_code="LS1 1AA", country="GB")
    change = creation(
        canonical(billing_address=moved), operation="update", external_id=one, fields=("billing_address",)
    )
    netsuite.push(change)
    lines = erp.record("customer")["addressBook"]["items"]
    assert [line["addressBookAddress"]["addr1"] for line in lines] == ["9 Dock Road", "2 New Street"]
    assert (lines[0]["label"], lines[0]["defaultShipping"]) == ("Depot", True)
    [found] = netsuite.find(object_type="customer", by="id", value=one)
    assert found.body.billing_address == moved, "nothing of the former one is left"
    assert netsuite.probe(change).external_id == one


@pytest.mark.provokes("INT-LOCK")
def test_an_update_of_a_record_somebody_changed_meanwhile_is_a_conflict(netsuite, erp):
    one = netsuite.push(creation()).external_id
    change = creation(
        operation="update", external_id=one, fields=("name",), if_version="2020-01-01T00:00:00Z"
    )
    with pytest.raises(AdapterError) as caught:
        netsuite.push(change)
    assert (caught.value.kind, caught.value.code) == (ErrorKind.CONFLICT, "INT-LOCK")
    assert erp.requests(method="PATCH") == []


@pytest.mark.provokes("CUS-DUP")
def test_a_customer_of_the_same_name_is_a_duplicate_case(netsuite, sandbox):
    sandbox.control.seed({"erp": {"customer": [customer()]}})
    with pytest.raises(AdapterError) as caught:
        netsuite.push(creation())
    assert (caught.value.kind, caught.value.code) == (ErrorKind.REJECTED, "CUS-DUP")


@pytest.mark.provokes("CUS-CURRENCY")
def test_a_currency_the_account_does_not_have_is_named(netsuite, erp):
    with pytest.raises(AdapterError) as caught:
        netsuite.push(creation(canonical(currency="BRL")))
    assert (caught.value.code, caught.value.field, caught.value.value) == ("CUS-CURRENCY", "currency", "BRL")
    assert erp.records("customer") == []


def test_an_unsafe_key_never_reaches_the_vendor(netsuite, erp):
    with pytest.raises(AdapterError, match="letters, digits"):
        netsuite.push(creation(key="cus/../../invoice"))
    assert erp.requests(method="PUT") == []


def enabling(one: str) -> Push:
    return creation(operation="enable_entity", external_id=one, settings={"subsidiary": "2"})


def test_a_customer_is_enabled_for_another_subsidiary_once(netsuite, erp):
    one = netsuite.push(creation()).external_id
    assert netsuite.probe(enabling(one)) is None
    first = netsuite.push(enabling(one))
    second = netsuite.push(enabling(one))
    assert (first.created, second.created) == (True, False)
    assert first.external_id == second.external_id == f"{one}-sub-2"
    assert len(erp.records("customerSubsidiaryRelationship")) == 2  # the primary one and ours
    assert netsuite.probe(enabling(one)).external_id == second.external_id
    [found] = netsuite.find(object_type="customer", by="id", value=one)
    assert found.facts["subsidiaries"] == ["1", "2"]
