"""NetSuite SuiteTalk REST as our ERP.

Public surface: :class:`NetSuiteAdapter`.

Reads customers, projects, invoices, payments, employees, service items and
subsidiaries; writes customers, projects, rate cards, charge
rules, billing schedules, invoices and payments. Every write is an upsert by external id or a change that can be repeated, so
after an unknown outcome :meth:`NetSuiteAdapter.probe` reads the record and compares it with what was to be written.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

from apps.connectors.adapters.netsuite import customers, delivery, ledger, people, polling, receipts
from apps.connectors.adapters.netsuite.client import ALGORITHMS, Client
from apps.connectors.adapters.netsuite.vocabulary import Vocabulary
from apps.connectors.adapters.netsuite.writes import Write, check_version, holds, version_of
from apps.connectors.spi import (
    AdapterError,
    Change,
    Description,
    ErrorKind,
    Health,
    Observed,
    Outcome,
    Page,
    Push,
    Settings,
    WebhookRefused,
)

_WRITES: dict[tuple[str, str], Callable[[Vocabulary, Push], Write]] = {
    ("customer", "create"): customers.customer_write,
    ("customer", "update"): customers.customer_write,
    ("customer", "enable_entity"): customers.enable_write,
    ("rate_card", "create"): delivery.rate_card_write,
    ("billing_schedule", "create"): delivery.billing_schedule_write,
    ("engagement", "create"): delivery.project_write,
    ("engagement", "update"): delivery.project_write,
    ("billing_rule", "create"): delivery.billing_rule_write,
    ("invoice", "create"): ledger.invoice_write,
    ("invoice", "post"): ledger.post_write,
    ("invoice", "void"): ledger.reject_write,
    ("payment", "create"): ledger.payment_write,
}

CONFIG_SCHEMA: dict[str, Any] = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "additionalProperties": False,
    "required": ["account", "client_id", "certificate_id"],
    "properties": {
        "account": {
            "type": "string",
            "title": "Account id",
            "description": "For example 1234567 or 1234567_SB1.",
        },
        "client_id": {
            "type": "string",
            "title": "Client id",
            "description": "Consumer key of the integration record.",
        },
        "certificate_id": {
            "type": "string",
            "title": "Certificate id",
            "description": "Of the OAuth 2.0 client credentials set-up.",
        },
        "algorithm": {
            "type": "string",
            "title": "Signature algorithm",
            "enum": list(ALGORITHMS),
            "default": "PS256",
        },
        "timezone": {
            "type": "string",
            "title": "Time zone",
            "description": "Of the integration user (Set Preferences in NetSuite); queries use its local time.",
            "default": "UTC",
        },
        "subsidiaries": {
            "type": "object",
            "title": "Subsidiaries",
            "description": "Internal id of each subsidiary and our code of the legal entity.",
            "additionalProperties": {"type": "string"},
        },
        "registration_field": {
            "type": "string",
            "title": "Field of the registration number",
            "description": "Custom field, for example custentity_registration_number; NetSuite has none of its own.",
        },
        "merged_into_field": {
            "type": "string",
            "title": "Field that names the surviving customer",
            "description": "Custom field that an inactive duplicate points with; default custentity_merged_into.",
        },
        "billing_type_ids": {
            "type": "object",
            "title": "Ids of the project billing types",
            "description": "Of TM, FBI, FBM and CB (time and materials, fixed bid by interval or milestone, charge-based).",
            "properties": {word: {"type": "string"} for word in delivery.BILLING_TYPE_IDS},
            "additionalProperties": False,
            "default": delivery.BILLING_TYPE_IDS,
        },
        "schedule_type_ids": {
            "type": "object",
            "title": "Ids of the billing schedule types",
            "description": "Of STD, FBI, FBM, TM and CB (standard, fixed bid by interval or milestone, time and materials, "
            "charge-based).",
            "properties": {word: {"type": "string"} for word in delivery.SCHEDULE_TYPE_IDS},
            "additionalProperties": False,
            "default": delivery.SCHEDULE_TYPE_IDS,
        },
        "app_url": {"type": "string", "title": "Address of the user interface", "format": "uri"},
        "token_audience": {
            "type": "string",
            "title": "Token audience",
            "description": "Only when the token address that NetSuite knows differs from the one that is called.",
        },
    },
}


class NetSuiteAdapter:
    """One NetSuite account. ``settings.secrets``: ``private_key`` (PEM, RSA or EC)."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.client = Client(settings)
        self.words = Vocabulary(self.client)

    def describe(self) -> Description:
        return Description(
            vendor="netsuite",
            title="NetSuite (SuiteTalk REST)",
            config_schema=CONFIG_SCHEMA,
            secret_names=("private_key",),
            reads=(
                "customer",
                "engagement",
                "project",
                "invoice",
                "receipt",
                "employee",
                "service_item",
                "subsidiary",
            ),
            writes=dict.fromkeys(_WRITES, "upsert"),
            pushes_events=False,
            polls=tuple(polling.POLLED),
            record_url="https://{account}.app.netsuite.com/app/common/entity/custjob.nl?id={id}",
            concurrency=5,
        )

    def check(self) -> Health:
        """Signs in and reads the currency list, which every role of this integration can see."""
        try:
            currencies = self.client.select("id, symbol", "currency")
        except AdapterError as error:
            details = {"kind": error.kind.value, "code": error.code, "vendor_code": error.vendor_code}
            return Health(False, error.message, details)
        return Health(
            True,
            "NetSuite answers and accepts our credentials.",
            {"account": str(self.settings.config.get("account") or ""), "currencies": len(currencies)},
        )

    def fetch(self, *, object_type: str, cursor: str, limit: int = 200) -> Page:
        return polling.changes(self.client, object_type=object_type, cursor=cursor, limit=limit)

    def find(
        self, *, object_type: str, by: str, value: str, extra: Mapping[str, Any] | None = None
    ) -> Sequence[Observed]:
        """See the ``find_*`` functions for the criteria of each object type."""
        if object_type == "customer":
            return customers.find_customers(self.words, by=by, value=value, extra=extra or {})
        if object_type in ("engagement", "project"):
            return delivery.find_projects(self.words, object_type=object_type, by=by, value=value)
        if object_type == "invoice":
            return ledger.find_invoices(self.words, by=by, value=value)
        if object_type == "receipt":
            return receipts.find_receipts(self.words, by=by, value=value)
        if object_type == "employee":
            return people.find_employees(self.words, by=by, value=value)
        if object_type == "service_item":
            return ledger.find_items(self.words, by=by, value=value)
        if object_type == "subsidiary":
            return ledger.find_subsidiaries(self.words, by=by, value=value)
        raise AdapterError(
            ErrorKind.CONTRACT_DRIFT, f"NetSuite holds no {object_type} for us.", code="INT-SCHEMA"
        )

    def push(self, push: Push) -> Outcome:
        """Upserts do not say whether they created: ``created`` is true for every one and false for changes."""
        build = self._builder(push)
        if push.operation == "enable_entity" and customers.is_enabled(self.words, push):
            return Outcome(customers.relation_name(push), created=False)
        if push.object_type == "rate_card":
            self._ensure_billing_classes(push)
        write = build(self.words, push)
        check_version(self.client, write, push)
        if write.internal_id:
            answer = self.client.patch(write.kind, write.internal_id, write.body, replace=write.replace)
            internal_id = write.internal_id
        else:
            internal_id, answer = self.client.upsert(
                write.kind, write.external_id, write.body, replace=write.replace
            )
        facts: dict[str, Any] = {}
        version = ""
        if push.operation == "enable_entity":
            internal_id = customers.relation_name(push)
        if push.object_type == "invoice":
            # Number, tax and total are NetSuite's; whoever follows needs them.
            record = self.client.written(write.kind, internal_id, answer)
            internal_id, version = record["id"], version_of(write.kind, record)
            facts = ledger.invoice_facts(record)
        return Outcome(
            internal_id,
            created=push.operation in ("create", "enable_entity"),
            url=self.words.page(write.kind, internal_id),
            version=version,
            facts=facts,
            exchange=answer.exchange,
        )

    def probe(self, push: Push) -> Outcome | None:
        """The record as it is, when it holds all that was to be written; None when the write has to be sent (again)."""
        build = self._builder(push)
        if (push.object_type, push.operation) == ("customer", "enable_entity"):
            done = customers.is_enabled(self.words, push)
            return Outcome(customers.relation_name(push), created=False) if done else None
        if push.object_type == "rate_card" and delivery.missing_billing_classes(self.words, push):
            return None
        write = build(self.words, push)
        record = self.client.get(write.kind, write.key)
        if record is None or not (holds(write.body, record) or self._further(push, record)):
            return None
        return Outcome(
            record["id"],
            created=push.operation == "create",
            url=self.words.page(write.kind, record["id"]),
            version=version_of(write.kind, record),
            facts=ledger.invoice_facts(record) if push.object_type == "invoice" else {},
        )

    def receive(
        self, *, headers: Mapping[str, str], body: bytes, secrets: Sequence[str], now: datetime
    ) -> tuple[str, Sequence[Change]]:
        raise WebhookRefused("unknown_version", "NetSuite sends no events of its own; it is polled.")

    def _builder(self, push: Push) -> Callable[[Vocabulary, Push], Write]:
        try:
            return _WRITES[push.object_type, push.operation]
        except KeyError:
            raise AdapterError(
                ErrorKind.CONTRACT_DRIFT,
                f"NetSuite cannot {push.operation} a {push.object_type}.",
                code="INT-SCHEMA",
            ) from None

    def _ensure_billing_classes(self, push: Push) -> None:
        """Create the billing classes a rate card prices and the account lacks; two cards share a class by its name."""
        for name in delivery.missing_billing_classes(self.words, push):
            write = delivery.billing_class_write(name)
            internal_id, _ = self.client.upsert(write.kind, write.external_id, write.body)
            self.words.billing_classes[name] = internal_id

    def _further(self, push: Push, record: Mapping[str, Any]) -> bool:
        """A draft that was approved since was certainly created; sending it again would edit a posted invoice."""
        return (push.object_type, push.operation) == ("invoice", "create") and ledger.invoice_status(
            record
        ) not in ("draft", "void")
