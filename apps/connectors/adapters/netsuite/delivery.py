"""Projects, rate cards, charge rules and billing schedules.

Public surface: :func:`find_projects`, :func:`project_write`, :func:`rate_card_write`, :func:`missing_billing_classes`,
:func:`billing_class_write`, :func:`billing_rule_write`, :func:`billing_schedule_write`.

Fields: SuiteTalk REST records ``job``, ``billingRateCard`` (sublist ``rateCardPricing``), ``billingClass``, ``chargeRule`` and
``billingSchedule`` (sublists ``milestone``, ``recurrence``).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import Any

from moneyed import CURRENCIES

from apps.canonical.money import Money
from apps.canonical.objects import BillingModel, BillingSchedule, Engagement, RateCard, RateLine
from apps.connectors.adapters.netsuite.client import (
    day,
    decimal,
    is_true,
    number,
    ref_id,
    ref_name,
    reference,
)
from apps.connectors.adapters.netsuite.vocabulary import Vocabulary
from apps.connectors.adapters.netsuite.writes import Write
from apps.connectors.protocols.convert import built
from apps.connectors.spi import AdapterError, ErrorKind, Observed, Push

#: NetSuite's project billing types (time and materials, charge-based, fixed bid by milestone or interval). Ours are finer:
#: charge-based projects carry the rest in their charge rules.
BILLING_TYPES: dict[str, str] = {
    "time_and_materials": "TM",
    "capped_time_and_materials": "CB",
    "milestone": "FBM",
    "instalment": "FBI",
    "retainer": "CB",
    "fixed": "CB",
}
#: Ids of these types. The REST API Browser publishes the ids 1 to 5, not which is which: configuration
#: ``billing_type_ids`` says it for the account.
BILLING_TYPE_IDS: dict[str, str] = {"TM": "1", "FBI": "2", "FBM": "3", "CB": "4"}
_MODELS: dict[str, BillingModel] = {
    "TM": "time_and_materials",
    "FBM": "milestone",
    "FBI": "instalment",
    "CB": "fixed",
}
#: Charge rule types by billing model.
RULE_TYPES: dict[str, str] = {
    "time_and_materials": "TIMEBASED",
    "capped_time_and_materials": "TIMEBASED",
    "milestone": "MILESTONE",
    "instalment": "FIXEDDATE",
    "retainer": "FIXEDDATE",
    "fixed": "FIXEDDATE",
}
BLENDED = "Blended"
#: Ids of the types of a billing schedule (standard, fixed bid by interval or milestone, time and materials, charge-based). Of
#: these too the REST API Browser publishes the ids alone: configuration ``schedule_type_ids`` says it for the account.
SCHEDULE_TYPE_IDS: dict[str, str] = {"STD": "1", "FBI": "2", "FBM": "3", "TM": "4", "CB": "5"}
#: Type and frequency of a billing schedule whose instalments have dates of their own.
STANDARD, CUSTOM = "STD", "CUSTOM"


def find_projects(words: Vocabulary, *, object_type: str, by: str, value: str) -> list[Observed]:
    """Projects by ``id`` or ``key``."""
    if by not in ("id", "key"):
        raise AdapterError(
            ErrorKind.CONTRACT_DRIFT, f"NetSuite projects cannot be searched by {by}.", code="INT-SCHEMA"
        )
    if not value or (by == "id" and not value.isdigit()):
        return []
    record = words.client.get("job", value if by == "id" else f"eid:{value}")
    return [_observed(words, record, object_type)] if record is not None else []


def _observed(words: Vocabulary, record: Mapping[str, Any], object_type: str) -> Observed:
    system, internal_id = words.client.settings.system, str(record["id"])
    currency = words.currency(record.get("currency"))
    if currency not in CURRENCIES:
        raise AdapterError(
            ErrorKind.CONTRACT_DRIFT,
            "The project in NetSuite has no currency that we know.",
            code="INT-SCHEMA",
            field="currency",
        )
    customer, subsidiary = ref_id(record.get("parent")), ref_id(record.get("subsidiary"))
    type_id = ref_id(record.get("jobBillingType"))
    billing_type = next((word for word, found in _type_ids(words).items() if found == type_id), "")
    inactive = is_true(record.get("isInactive"))
    body = built(
        Engagement,
        "The project in NetSuite",
        key=str(record.get("externalId") or f"{system}:{internal_id}"),
        name=str(record.get("companyName") or record.get("entityId") or internal_id),
        customer_key=f"{system}:{customer}" if customer else f"{system}:none",
        legal_entity_code=words.entity_code(subsidiary),
        currency=currency,
        billing_model=_MODELS.get(billing_type, "fixed"),
        status="closed" if inactive else "active",
        start_on=day(record.get("startDate")),
        end_on=day(record.get("projectedEndDate") or record.get("calculatedEndDate")),
        project_manager=ref_name(record.get("projectManager")),
        budget=Money.of(decimal(record.get("estimatedRevenue")) or Decimal(0), currency),
    )
    return Observed(
        object_type=object_type,
        external_id=internal_id,
        body=body,
        version=str(record.get("lastModifiedDate") or ""),
        modified_at=words.client.moment(record.get("lastModifiedDate")),
        url=words.page("job", internal_id),
        container_id=customer,
        facts={
            "inactive": inactive,
            "customer_id": customer,
            "subsidiary": subsidiary,
            "billing_type": billing_type,
            "rate_card_id": ref_id(record.get("billingRateCard")),
            "status": ref_name(record.get("entityStatus")),
        },
    )


def project_write(words: Vocabulary, push: Push) -> Write:
    """``create``: upsert by our external id (refs ``customer``, ``rate_card``, ``billing_schedule``); ``update``:
    ``push.fields``."""
    body = push.body
    if not isinstance(body, Engagement):
        raise AdapterError(
            ErrorKind.CONTRACT_DRIFT, "A project write needs an engagement.", code="INT-SCHEMA"
        )
    creating = push.operation == "create"
    wanted: dict[str, Any] = {}
    for field in _PROJECT_FIELDS if creating or not push.fields else push.fields:
        if creating and field == "status":
            continue  # a repeated upsert must not reopen a project that was closed in NetSuite
        wanted |= _project_properties(words, body, push, field)
    if creating or not push.fields:
        wanted = {name: value for name, value in wanted.items() if value is not None}
    if not creating and push.external_id:
        return Write("job", wanted, internal_id=push.external_id)
    return Write("job", wanted, external_id=push.key)


_PROJECT_FIELDS = (
    "name",
    "customer_key",
    "legal_entity_code",
    "currency",
    "billing_model",
    "status",
    "start_on",
    "end_on",
    "project_manager",
    "rate_card_key",
    "billing_schedule",
    "budget",
)


def _project_properties(words: Vocabulary, body: Engagement, push: Push, field: str) -> dict[str, Any]:
    refs, settings = push.refs, push.settings
    if field == "name":
        return {"companyName": body.name}
    if field == "customer_key":
        return {"parent": reference(refs["customer"])} if refs.get("customer") else {}
    if field == "legal_entity_code":
        return {"subsidiary": reference(settings["subsidiary"])} if settings.get("subsidiary") else {}
    if field == "currency":
        return {"currency": reference(words.currency_id(body.currency, settings))}
    if field == "billing_model":
        return {"jobBillingType": reference(_type_ids(words)[BILLING_TYPES[body.billing_model]])}
    if field == "status":
        return {"isInactive": body.status == "closed"}
    if field == "start_on":
        return {"startDate": body.start_on.isoformat() if body.start_on else None}
    if field == "end_on":
        return {"projectedEndDate": body.end_on.isoformat() if body.end_on else None}
    if field == "project_manager":
        found = settings.get("project_manager_id")
        return {"projectManager": reference(found)} if found else {}
    if field == "rate_card_key":
        return {"billingRateCard": reference(refs["rate_card"])} if refs.get("rate_card") else {}
    if field == "billing_schedule":
        found = refs.get("billing_schedule")
        return {"billingSchedule": reference(found)} if found else {}
    if field == "budget":
        return {"estimatedRevenue": number(body.budget.amount)}
    return {}


def _type_ids(words: Vocabulary) -> dict[str, str]:
    own = words.config.get("billing_type_ids")
    return {
        **BILLING_TYPE_IDS,
        **({str(k): str(v) for k, v in own.items()} if isinstance(own, Mapping) else {}),
    }


# -- rate cards ------------------------------------------------------------------------------------


def class_name(line: RateLine) -> str:
    """The billing class a rate belongs to: the role, or one class for any role of a service."""
    base = BLENDED if line.blended else (line.role or line.resource)
    return f"{base} {line.service_code}".strip() if line.service_code else base


def missing_billing_classes(words: Vocabulary, push: Push) -> list[str]:
    """Billing classes that the rate card needs and the account does not have."""
    return [
        name
        for name in dict.fromkeys(map(class_name, _rate_card(push).lines))
        if name not in words.billing_classes
    ]


def billing_class_write(name: str) -> Write:
    """A billing class under an external id made of its name, so that two rate cards share it."""
    slug = re.sub(r"[^A-Za-z0-9]+", "-", name).strip("-")[:40]
    digest = hashlib.sha256(name.encode()).hexdigest()[:8]
    return Write("billingClass", {"name": name}, external_id=f"pssync-{slug}-{digest}")


def rate_card_write(words: Vocabulary, push: Push) -> Write:
    """The card with one price for each billing class. All classes must exist (:func:`missing_billing_classes`)."""
    card = _rate_card(push)
    lines = [
        {
            "billingClass": reference(words.billing_classes[class_name(line)]),
            "currency": reference(words.currency_id(line.bill_rate.currency, {})),
            "price": number(_hourly(card, line)),
        }
        for line in card.lines
    ]
    return Write(
        "billingRateCard",
        {"name": card.name, "rateCardPricing": {"items": lines}},
        external_id=push.key,
        replace="rateCardPricing",
    )


def _hourly(card: RateCard, line: RateLine) -> Decimal:
    """NetSuite prices an hour; a day rate is spread over the card's hours a day, other units stay as they are."""
    amount = line.bill_rate.amount
    if line.unit == "day" and card.hours_per_day:
        return Money.of(amount / card.hours_per_day, line.bill_rate.currency).amount
    return amount


def _rate_card(push: Push) -> RateCard:
    if not isinstance(push.body, RateCard):
        raise AdapterError(
            ErrorKind.CONTRACT_DRIFT, "A rate card write needs a rate card.", code="INT-SCHEMA"
        )
    return push.body


# -- charge rules ----------------------------------------------------------------------------------


def billing_rule_write(words: Vocabulary, push: Push) -> Write:
    """How one sold service is charged: ``values`` name, billing_model, billing_code, amount, rate; refs ``project``."""
    values = push.values
    project = str(push.refs.get("project") or push.refs.get("engagement") or "")
    if not project:
        raise AdapterError(
            ErrorKind.CONTRACT_DRIFT,
            "A billing rule needs its project.",
            code="INT-SCHEMA",
            field="engagement_key",
        )
    model = str(values.get("billing_model") or "fixed")
    body: dict[str, Any] = {
        "name": str(values.get("name") or push.key),
        "project": reference(project),
        "chargeRuleType": reference(RULE_TYPES.get(model, "FIXEDDATE")),
        "billingItem": reference(words.item_id(str(values.get("billing_code") or ""))),
    }
    for name in ("amount", "rate"):
        found = _exact(values.get(name))
        if found is not None:
            body[name] = number(found)
    if values.get("description"):
        body["description"] = str(values["description"])
    return Write("chargeRule", body, external_id=push.key)


# -- billing schedules -----------------------------------------------------------------------------


def billing_schedule_write(words: Vocabulary, push: Push) -> Write:
    """What is billed when: milestones where any entry waits for an acceptance, else dated instalments.

    All lines are replaced, so that a schedule sent again leaves no old one behind."""
    body = push.body
    if not isinstance(body, BillingSchedule):
        raise AdapterError(
            ErrorKind.CONTRACT_DRIFT, "A billing schedule write needs a billing schedule.", code="INT-SCHEMA"
        )
    wanted: dict[str, Any] = {"name": body.key}
    types = {**SCHEDULE_TYPE_IDS, **(words.config.get("schedule_type_ids") or {})}
    if any(entry.trigger == "acceptance" for entry in body.entries):
        sublist = "milestone"
        wanted["scheduleType"] = reference(types[BILLING_TYPES["milestone"]])
        lines = [
            {
                "milestoneId": position,
                "comments": entry.label,
                "milestoneDate": entry.due_on.isoformat() if entry.due_on else None,
                "milestoneAmount": number(entry.amount.amount),
            }
            for position, entry in enumerate(body.entries, start=1)
        ]
    else:
        sublist = "recurrence"
        wanted |= {"scheduleType": reference(types[STANDARD]), "frequency": reference(CUSTOM)}
        lines = [
            {
                "recurrenceDate": entry.due_on.isoformat() if entry.due_on else None,
                "amount": number(entry.amount.amount),
            }
            for entry in body.entries
        ]
    present = [{name: value for name, value in line.items() if value is not None} for line in lines]
    return Write(
        "billingSchedule", wanted | {sublist: {"items": present}}, external_id=push.key, replace=sublist
    )


def _exact(value: Any) -> Decimal | None:
    """An amount from ``values``: text, Decimal, Money or its JSON."""
    if isinstance(value, Money):
        return value.amount
    if isinstance(value, Mapping):
        value = value.get("amount")
    if value is None or value == "":
        return None
    try:
        return Decimal(str(value))
    except InvalidOperation:
        raise AdapterError(
            ErrorKind.CONTRACT_DRIFT,
            f"{value!r} is not an amount.",
            code="INT-SCHEMA",
            field="amount",
            value=str(value),
        ) from None
