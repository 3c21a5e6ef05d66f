"""Kantata OX as our PSA.

Public surface: :class:`KantataAdapter`.

Reads projects, billing milestones, time entries and timesheets; writes projects, billing milestones and rate cards.
Kantata has no idempotency key and no upsert. Every object is created with our external reference in the same request,
and is searched by it before it is created: what remains is the moment between two creations at the same time, which
the order of one subject's work rules out, and a search index that lags behind.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from decimal import ROUND_HALF_UP
from typing import Any

from apps.canonical.objects import Engagement, Milestone
from apps.connectors.adapters.kantata import mapping, polling, ratecards
from apps.connectors.adapters.kantata.client import UPDATED_FILTER, Client, Listing
from apps.connectors.protocols.convert import instant
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

CONFIG_SCHEMA: dict[str, Any] = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "additionalProperties": False,
    "properties": {
        "api_path": {"type": "string", "title": "Path of the API", "default": "/api/v1"},
        "app_url": {
            "type": "string",
            "title": "Address of the user interface",
            "description": "For links to projects, for example https://app.mavenlink.com.",
            "format": "uri",
        },
        "service_name": {
            "type": "string",
            "title": "Service name",
            "description": "Of our external references. Never change it: objects are recognised by it.",
            "default": "pssync",
        },
        "milestone_fields": {
            "type": "object",
            "title": "Fields of acceptance on billing milestones",
            "description": "Attribute names for state, accepted_at and evidence.",
            "additionalProperties": {"type": "string"},
            "default": mapping.MILESTONE_FIELDS,
        },
    },
}
_WRITES = {
    ("rate_card", "create"): "search",
    ("engagement", "create"): "search",
    ("engagement", "update"): "search",
    ("milestone", "create"): "search",
}
_Reader = Callable[[Client, Listing, Mapping[str, Any]], Observed]
#: Object type → list, our model in external references, include, reader.
_READS: dict[str, tuple[str, str, str, _Reader]] = {
    "engagement": ("workspaces", "engagement", mapping.ENGAGEMENT_INCLUDE, mapping.engagement),
    "milestone": ("billing_milestones", "milestone", mapping.MILESTONE_INCLUDE, mapping.milestone),
    "time_entry": ("time_entries", "time_entry", mapping.TIME_INCLUDE, mapping.time_entry),
}


class KantataAdapter:
    """One Kantata account. ``settings.secrets``: ``token`` (a long-lived OAuth 2 bearer token)."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.client = Client(settings)

    def describe(self) -> Description:
        return Description(
            vendor="kantata",
            title="Kantata OX",
            config_schema=CONFIG_SCHEMA,
            secret_names=("token",),
            reads=("engagement", "milestone", "time_entry", "timesheet"),
            writes=_WRITES,
            pushes_events=False,
            polls=tuple(polling.POLLED),
            record_url="{app_url}/workspaces/{id}",
            concurrency=5,
            keeps_changes=polling.FEED,
        )

    def check(self) -> Health:
        """Reads one project, which every token may: those its user takes part in, perhaps none."""
        try:
            self.client.page("workspaces", {}, size=1)
        except AdapterError as error:
            details = {"kind": error.kind.value, "code": error.code, "vendor_code": error.vendor_code}
            return Health(False, error.message, details)
        return Health(True, "Kantata answers and accepts our token.", {})

    def fetch(self, *, object_type: str, cursor: str, limit: int = 200) -> Page:
        return polling.changes(self.client, object_type=object_type, cursor=cursor, limit=limit)

    def find(
        self, *, object_type: str, by: str, value: str, extra: Mapping[str, Any] | None = None
    ) -> Sequence[Observed]:
        """By ``id``, ``ids`` (several, with commas: those of them that are there), ``key`` (our external reference, archived
        projects too; not for time) or ``container`` (all of one project).

        With ``container``, ``extra["updated_after"]`` (ISO 8601) leaves out what did not change since. A ``timesheet``
        by ``id`` is found as its time entries.
        """
        if object_type == "timesheet" and by == "id":
            return self._timesheet(value)
        if object_type not in _READS:
            raise AdapterError(
                ErrorKind.CONTRACT_DRIFT, f"Kantata holds no {object_type} for us.", code="INT-SCHEMA"
            )
        plural, model, include, read = _READS[object_type]
        if by == "id":
            found = self.client.one(plural, value, include=include)
        elif by == "ids":
            return self._only(object_type, value.split(","))
        elif by == "key" and object_type != "time_entry":
            found = self.client.all_referred(plural, model, value, include=include) if value else None
        elif by == "container" and object_type != "engagement":
            return self._in_project(object_type, value, extra or {})
        else:
            raise AdapterError(
                ErrorKind.CONTRACT_DRIFT, f"Kantata's {plural} cannot be searched by {by}.", code="INT-SCHEMA"
            )
        return [read(self.client, found, record) for record in found.records] if found else []

    def _in_project(self, object_type: str, workspace_id: str, extra: Mapping[str, Any]) -> list[Observed]:
        if not workspace_id.isdigit():
            return []
        plural, _, include, read = _READS[object_type]
        params = {"workspace_ids": workspace_id, "include": include}
        since = str(extra.get("updated_after") or "")
        if since and plural in UPDATED_FILTER:
            params["updated_after"] = since
        return [
            read(self.client, page, record)
            for page in self.client.pages(plural, params)
            for record in page.records
            if not since or _updated_since(record, since)
        ]

    def _timesheet(self, submission_id: str) -> list[Observed]:
        found = self.client.one("timesheet_submissions", submission_id, include="time_entries")
        ids = [str(one) for one in found.records[0].get("time_entry_ids") or []] if found else []
        return self._only("time_entry", ids)

    def _only(self, object_type: str, ids: Sequence[str]) -> list[Observed]:
        plural, _, include, read = _READS[object_type]
        return [
            read(self.client, page, record)
            for page in self.client.only(plural, ids, include=include)
            for record in page.records
        ]

    # -- writing -------------------------------------------------------------------------------

    def push(self, push: Push) -> Outcome:
        """Search by our reference, then create; ``created`` false when it was there."""
        self._known(push)
        if push.object_type == "rate_card":
            return ratecards.push_rate_card(self.client, push)
        plural, model, include, _ = _READS[push.object_type]
        singular = plural.removesuffix("s")
        values = _values(push)
        if push.operation == "update":
            record, answer = self.client.update(plural, singular, self._external_id(push), values)
            return self._outcome(push, record, created=False, exchange=answer.exchange)
        there = self.client.referred(plural, model, push.key, include=include)
        if there is not None:
            return self._outcome(push, there.records[0], created=False, exchange=there.answer.exchange)
        message = (
            f"Service {push.body.service_code}"
            if isinstance(push.body, Milestone) and push.body.service_code
            else ""
        )
        reference = self.client.reference(model, push.key, message=message)
        values["external_reference"] = reference
        record, answer = self.client.create(plural, singular, values, include=include)
        return self._outcome(push, record, created=True, exchange=answer.exchange)

    def probe(self, push: Push) -> Outcome | None:
        """By our reference; an update counts as done when the record holds what was to be written."""
        self._known(push)
        if push.object_type == "rate_card":
            return ratecards.find_complete(self.client, push)
        plural, model, include, _ = _READS[push.object_type]
        if push.operation == "update":
            found = self.client.one(plural, self._external_id(push))
            if found is None or not _holds(_values(push), found.records[0]):
                return None
        else:
            found = self.client.referred(plural, model, push.key, include=include)
            if found is None:
                return None
        return self._outcome(push, found.records[0], created=push.operation == "create", exchange=None)

    def receive(
        self, *, headers: Mapping[str, str], body: bytes, secrets: Sequence[str], now: datetime
    ) -> tuple[str, Sequence[Change]]:
        raise WebhookRefused("unknown_version", "Kantata sends no events of its own; it is polled.")

    def _known(self, push: Push) -> None:
        if (push.object_type, push.operation) not in _WRITES:
            raise AdapterError(
                ErrorKind.CONTRACT_DRIFT,
                f"Kantata cannot {push.operation} a {push.object_type}.",
                code="INT-SCHEMA",
            )

    def _external_id(self, push: Push) -> str:
        if not push.external_id.isdigit():
            raise AdapterError(
                ErrorKind.CONTRACT_DRIFT,
                f"An update of this {push.object_type} needs its id in Kantata.",
                code="INT-SCHEMA",
            )
        return push.external_id

    def _outcome(self, push: Push, record: Mapping[str, Any], *, created: bool, exchange: Any) -> Outcome:
        workspace = record["id"] if push.object_type == "engagement" else record.get("workspace_id")
        return Outcome(
            str(record["id"]),
            created=created,
            url=mapping.page_url(self.client, str(workspace or "")),
            version=str(record.get("updated_at") or ""),
            exchange=exchange,
        )


_ENGAGEMENT_FIELDS = (
    "name",
    "currency",
    "start_on",
    "end_on",
    "budget",
    "rate_card_key",
    "description",
    "status",
)


def _values(push: Push) -> dict[str, Any]:
    """The attributes to send. An update sends ``push.fields``, or all, and empties what is empty."""
    if isinstance(push.body, Engagement) and push.object_type == "engagement":
        wanted: dict[str, Any] = {}
        for field in push.fields or _ENGAGEMENT_FIELDS:
            wanted |= _engagement_attribute(push.body, push, field)
        if push.operation == "create":
            wanted = {name: value for name, value in wanted.items() if value is not None}
            # We create the project on the side of the firm that delivers it.
            wanted |= {"creator_role": "consultant", "budgeted": True}
            wanted.pop("archived", None)
        return wanted
    if isinstance(push.body, Milestone) and push.object_type == "milestone":
        return _milestone_attributes(push.body, push)
    raise AdapterError(
        ErrorKind.CONTRACT_DRIFT,
        f"The write of this {push.object_type} has no fitting body.",
        code="INT-SCHEMA",
    )


def _engagement_attribute(body: Engagement, push: Push, field: str) -> dict[str, Any]:
    match field:
        case "name":
            return {"title": body.name}
        case "currency":
            return {"currency": body.currency}
        case "start_on":
            return {"start_date": body.start_on.isoformat() if body.start_on else None}
        case "end_on":
            return {"due_date": body.end_on.isoformat() if body.end_on else None}
        case "budget":
            # The vendor takes whole units of the currency, although it answers subunits.
            return {"price": int(body.budget.amount.to_integral_value(ROUND_HALF_UP))}
        case "rate_card_key":
            return {"rate_card_id": push.refs["rate_card"]} if push.refs.get("rate_card") else {}
        case "description" | "po_number" | "contract_number":
            return {"description": _description(body)}
        case "status":
            return {"archived": body.status == "closed"}
        case _:
            return {}


def _description(body: Engagement) -> str:
    parts = [body.key]
    if body.po_number:
        parts.append(f"PO {body.po_number}")
    if body.contract_number:
        parts.append(f"Contract {body.contract_number}")
    return " · ".join(parts)


def _milestone_attributes(body: Milestone, push: Push) -> dict[str, Any]:
    workspace = str(push.refs.get("engagement") or push.refs.get("project") or "")
    if not workspace:
        raise AdapterError(
            ErrorKind.CONTRACT_DRIFT,
            "A milestone needs its project.",
            code="INT-SCHEMA",
            field="engagement_key",
        )
    wanted: dict[str, Any] = {
        "title": body.name,
        "workspace_id": workspace,
        "amount_in_cents": body.amount.minor,
        "billing_type": "fixed_date",
    }
    if body.due_on:
        wanted["date_to_invoice"] = body.due_on.isoformat()
    return wanted


def _holds(wanted: Mapping[str, Any], record: Mapping[str, Any]) -> bool:
    def plain(value: Any) -> str:
        return "" if value is None else str(value).lower() if isinstance(value, bool) else str(value)

    held = dict(record)
    if held.get("price_in_cents") is not None:
        held["price"] = round(int(held["price_in_cents"]) / int(held.get("currency_base_unit") or 100))
    return all(plain(held.get(name)) == plain(value) for name, value in wanted.items())


def _updated_since(record: Mapping[str, Any], since: str) -> bool:
    updated = instant(record.get("updated_at"), field="updated_at")
    limit = instant(since, field="updated_after")
    return updated is None or limit is None or updated >= limit
