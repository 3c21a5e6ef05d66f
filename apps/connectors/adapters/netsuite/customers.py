"""Customers: NetSuite's ``customer`` and canonical ``Customer``, and the searches of the match ladder.

Public surface: :func:`find_customers`, :func:`customer_write`, :func:`enable_write`, :func:`is_enabled`,
:func:`relation_name`.

Fields: SuiteTalk REST record ``customer`` and ``customerSubsidiaryRelationship``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from moneyed import CURRENCIES

from apps.canonical.objects import Customer
from apps.connectors.adapters.netsuite.addresses import address_book, read_address, with_other_addresses
from apps.connectors.adapters.netsuite.client import (
    decimal,
    is_true,
    items,
    like,
    literal,
    ref_id,
    ref_name,
    reference,
)
from apps.connectors.adapters.netsuite.vocabulary import Vocabulary
from apps.connectors.adapters.netsuite.writes import Write
from apps.connectors.protocols.convert import built
from apps.connectors.spi import AdapterError, ErrorKind, Observed, Push

#: Candidates read whole for one search; more than this is no answer but a list.
CANDIDATES = 25
_LEGAL_FORMS = re.compile(
    r"\b(?:ltd|limited|plc|llp|llc|inc|incorporated|corp|corporation|co|company|gmbh|ag|kg|sa|sas|sarl|bv|nv|ab|as|oy|spa|srl|pty)\b\.?",
    re.IGNORECASE,
)


def find_customers(words: Vocabulary, *, by: str, value: str, extra: Mapping[str, Any]) -> list[Observed]:
    """Customers by ``id``, ``key``, ``claimed_id``, ``tax_id``, ``registration``, ``domain`` or ``name``.

    ``extra["country"]`` (ISO 3166-1 alpha-2) keeps only customers billed there or with no country at all, for the last
    four. ``name`` and ``domain`` return candidates to be scored by the caller; ``tax_id`` compares without spaces,
    punctuation and the country's prefix.
    """
    value = value.strip()
    if not value:
        return []
    if by in ("id", "claimed_id"):
        return _read(words, [value]) if value.isdigit() else []
    if by == "key":
        return _read(words, [f"eid:{value}"])
    search = _SEARCHES.get(by)
    if search is None:
        raise AdapterError(
            ErrorKind.CONTRACT_DRIFT, f"NetSuite customers cannot be searched by {by}.", code="INT-SCHEMA"
        )
    country = str(extra.get("country") or "")
    found = _read(words, search(words, value, country))
    return [one for one in found if _in_country(one, country) and _KEEP.get(by, _any)(one, value, country)]


def _read(words: Vocabulary, keys: Sequence[str]) -> list[Observed]:
    records = [words.client.get("customer", key) for key in keys[:CANDIDATES]]
    return [_observed(words, record) for record in records if record is not None]


def _ids(words: Vocabulary, *conditions: str) -> list[str]:
    """Internal ids of customers that satisfy any of the conditions (SuiteQL is asked once for each)."""
    found: dict[str, None] = {}
    for condition in conditions:
        found |= {
            str(row["id"]): None for row in words.client.select("id", "customer", condition, limit=CANDIDATES)
        }
    return list(found)


def _by_tax_id(words: Vocabulary, value: str, country: str) -> list[str]:
    # Spellings differ ("GB 123 4567 89"); the exact ones are asked for, and answers are compared once more.
    bare = _tax_key(value, country)
    spellings = {value, value.replace(" ", ""), bare, f"{country}{bare}", f"{country} {bare}"}
    listed = ", ".join(literal(text.upper()) for text in sorted(spellings) if text)
    return _ids(words, f"UPPER(vatregnumber) IN ({listed})")


def _by_registration(words: Vocabulary, value: str, country: str) -> list[str]:
    field = str(words.config.get("registration_field") or "")
    if not re.fullmatch(r"custentity_[a-z0-9_]+", field):
        return []  # NetSuite has no field of its own for it, so without a custom one nobody can be found
    return _ids(words, f"UPPER({field}) = {literal(value.upper())}")


def _by_domain(words: Vocabulary, value: str, country: str) -> list[str]:
    domain = _host(value).upper()
    return (
        _ids(words, f"UPPER(url) LIKE {like(domain)}", f"UPPER(email) LIKE {like('@' + domain)}")
        if domain
        else []
    )


def _by_name(words: Vocabulary, value: str, country: str) -> list[str]:
    return _ids(words, f"UPPER(companyname) LIKE {like(significant_word(value).upper())}")


_SEARCHES: dict[str, Callable[[Vocabulary, str, str], list[str]]] = {
    "tax_id": _by_tax_id,
    "registration": _by_registration,
    "domain": _by_domain,
    "name": _by_name,
}


def _any(one: Observed, value: str, country: str) -> bool:
    return True


def _same_tax_id(one: Observed, value: str, country: str) -> bool:
    body = one.body
    return isinstance(body, Customer) and _tax_key(body.tax_id, country) == _tax_key(value, country)


def _same_domain(one: Observed, value: str, country: str) -> bool:
    body, domain = one.body, _host(value)
    return isinstance(body, Customer) and domain in (
        _host(body.website),
        body.email.rpartition("@")[2].lower(),
    )


_KEEP: dict[str, Callable[[Observed, str, str], bool]] = {"tax_id": _same_tax_id, "domain": _same_domain}


def _in_country(one: Observed, country: str) -> bool:
    held = one.body.billing_address.country if isinstance(one.body, Customer) else None
    return not country or held is None or held == country


def _tax_key(value: str, country: str) -> str:
    compact = re.sub(r"[^A-Z0-9]", "", value.upper())
    # Greece writes EL before its VAT numbers and GR everywhere else.
    for prefix in (country, "EL" if country == "GR" else ""):
        if prefix and compact.startswith(prefix):
            return compact[len(prefix) :]
    return compact


def _host(value: str) -> str:
    """``https://www.Example.com/x`` → ``example.com``."""
    text = value.strip().lower()
    host = urlsplit(text if "//" in text else f"//{text}").hostname or ""
    return host.removeprefix("www.")


def significant_word(name: str) -> str:
    """The longest word of a company name without its legal form; what two spellings of one name still share."""
    words = re.findall(r"[^\W_]+", _LEGAL_FORMS.sub(" ", name))
    return max(words, key=len) if words else name


# -- NetSuite → canonical --------------------------------------------------------------------------


def _observed(words: Vocabulary, record: Mapping[str, Any]) -> Observed:
    internal_id = str(record["id"])
    primary = ref_id(record.get("subsidiary"))
    subsidiaries = list(
        dict.fromkeys([*([primary] if primary else []), *words.customer_subsidiaries(internal_id)])
    )
    currency = words.currency(record.get("currency"))
    hold = ref_id(record.get("creditHoldOverride")).upper()
    balance, limit = decimal(record.get("balance")), decimal(record.get("creditLimit"))
    over_limit = balance is not None and limit is not None and limit > 0 and balance > limit
    inactive = is_true(record.get("isInactive"))
    registered = str(words.config.get("registration_field") or "")
    merged = ref_id(record.get(str(words.config.get("merged_into_field") or "custentity_merged_into")))
    body = built(
        Customer,
        "The customer in NetSuite",
        key=str(record.get("externalId") or f"{words.client.settings.system}:{internal_id}"),
        name=str(record.get("companyName") or record.get("entityId") or internal_id),
        status="inactive" if inactive else "active",
        currency=currency if currency in CURRENCIES else None,
        currencies=tuple(_currencies(words, record, currency)),
        tax_id=str(record.get("vatRegNumber") or ""),
        registration_number=str((record.get(registered) if registered else "") or ""),
        payment_terms=ref_name(record.get("terms")),
        email=str(record.get("email") or ""),
        phone=str(record.get("phone") or ""),
        website=str(record.get("url") or ""),
        billing_address=read_address(record),
        legal_entities=tuple(words.entity_code(found) for found in subsidiaries),
    )
    return Observed(
        object_type="customer",
        external_id=internal_id,
        body=body,
        version=str(record.get("lastModifiedDate") or ""),
        modified_at=words.client.moment(record.get("lastModifiedDate")),
        url=words.page("customer", internal_id),
        facts={
            "inactive": inactive,
            "credit_hold": hold == "ON" or (hold != "OFF" and over_limit),
            "subsidiaries": subsidiaries,
            "subsidiary": primary,
            "currency": currency,
            "currencies": list(_currencies(words, record, currency)),
            "terms": ref_name(record.get("terms")),
            "terms_id": ref_id(record.get("terms")),
            "external_id": str(record.get("externalId") or ""),
            "entity_id": str(record.get("entityId") or ""),
            "replaced_by": merged,
        },
    )


def _currencies(words: Vocabulary, record: Mapping[str, Any], primary: str) -> list[str]:
    """Every currency the customer may be billed in: the primary one and those of the currency sublist."""
    listed = [words.currency(line.get("currency")) for line in items(record.get("currencyList"))]
    return [code for code in dict.fromkeys([primary, *listed]) if code in CURRENCIES]


# -- canonical → NetSuite --------------------------------------------------------------------------


def customer_write(words: Vocabulary, push: Push) -> Write:
    """``create``: everything, by our external id. ``update``: only ``push.fields``, by internal id; of the addresses only the
    billing one."""
    body = push.body
    if not isinstance(body, Customer):
        raise AdapterError(ErrorKind.CONTRACT_DRIFT, "A customer write needs a customer.", code="INT-SCHEMA")
    if push.operation == "update":
        wanted = {
            name: value
            for field in (push.fields or _FIELDS)
            for name, value in _vendor(words, body, push, field).items()
        }
        if not push.fields:
            wanted = {name: value for name, value in wanted.items() if value is not None}
        replace = ""
        if "addressBook" in wanted:
            replace = "addressBook"
            record = words.client.get("customer", push.external_id) or {}
            wanted["addressBook"] = with_other_addresses(wanted["addressBook"]["items"][0], record)
        return Write("customer", wanted, internal_id=push.external_id, replace=replace)
    # Whether a customer is active is the ERP's to say: a repeated upsert must not wake one that was closed there.
    wanted = {
        name: value
        for field in _FIELDS
        if field != "status"
        for name, value in _vendor(words, body, push, field).items()
        if value is not None
    }
    wanted["isPerson"] = False
    if push.settings.get("subsidiary"):
        wanted["subsidiary"] = reference(push.settings["subsidiary"])
    return Write(
        "customer", wanted, external_id=push.key, replace="addressBook" if "addressBook" in wanted else ""
    )


_FIELDS = (
    "name",
    "status",
    "tax_id",
    "registration_number",
    "payment_terms",
    "email",
    "phone",
    "website",
    "currency",
    "billing_address",
)
_PLAIN = {
    "name": "companyName",
    "tax_id": "vatRegNumber",
    "email": "email",
    "phone": "phone",
    "website": "url",
}


def _vendor(words: Vocabulary, body: Customer, push: Push, field: str) -> dict[str, Any]:
    """The NetSuite properties of one canonical field; ``None`` empties a property."""
    if field in _PLAIN:
        return {_PLAIN[field]: getattr(body, field) or None}
    if field == "status":
        return {"isInactive": body.status == "inactive"}
    if field == "registration_number":
        custom = str(words.config.get("registration_field") or "")
        return {custom: body.registration_number or None} if custom else {}
    if field == "payment_terms":
        # Terms are a list of the account; governance translated the words into its id.
        return {"terms": reference(push.settings["terms_id"])} if push.settings.get("terms_id") else {}
    if field == "currency":
        return (
            {"currency": reference(words.currency_id(body.currency, push.settings))} if body.currency else {}
        )
    if field == "billing_address":
        return address_book(body.billing_address)
    if field.startswith("billing_address."):
        return address_book(body.billing_address)
    return {}


def enable_write(words: Vocabulary, push: Push) -> Write:
    """Let a customer trade with one more subsidiary (``settings["subsidiary"]``)."""
    customer_id, subsidiary = _customer_id(push), str(push.settings.get("subsidiary") or "")
    if not customer_id or not subsidiary:
        raise AdapterError(
            ErrorKind.CONTRACT_DRIFT,
            "Enabling a customer needs its id and a subsidiary.",
            code="INT-SCHEMA",
            field="legal_entity_code",
        )
    body: dict[str, Any] = {"entity": reference(customer_id), "subsidiary": reference(subsidiary)}
    if isinstance(push.body, Customer) and push.body.currency:
        body["primaryCurrency"] = reference(words.currency_id(push.body.currency, push.settings))
    return Write("customerSubsidiaryRelationship", body, external_id=f"{push.key[:48]}-sub-{subsidiary}")


def is_enabled(words: Vocabulary, push: Push) -> bool:
    """Whether the customer may trade with the subsidiary already: its primary one, or by a relationship."""
    customer_id, subsidiary = _customer_id(push), str(push.settings.get("subsidiary") or "")
    if not customer_id.isdigit() or not subsidiary.isdigit():
        return False
    rows = words.client.select(
        "id, entity, subsidiary",
        "customersubsidiaryrelationship",
        f"entity = {customer_id}",
        f"subsidiary = {subsidiary}",
    )
    if rows:
        return True
    record = words.client.get("customer", customer_id, sub_resources=False)
    return record is not None and ref_id(record.get("subsidiary")) == subsidiary


def relation_name(push: Push) -> str:
    """The id we know a relationship by, ``647-sub-2``: its own internal id may equal that of some customer."""
    return f"{_customer_id(push)}-sub-{push.settings.get('subsidiary')}"


def _customer_id(push: Push) -> str:
    return push.external_id or str(push.refs.get("customer") or "")
