"""The Salesforce adapter: deals and customers in, engagement status and ERP ids out.

Public surface: :class:`SalesforceAdapter`.

Sources: REST API Developer Guide v68.0 (query, upsert by external id, conditional requests, limits), OAuth 2.0 client
credentials and JWT bearer flows.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from email.utils import format_datetime
from typing import Any
from urllib.parse import quote

from apps.connectors.adapters.salesforce import compose, events, soql
from apps.connectors.adapters.salesforce.errors import sort_error
from apps.connectors.adapters.salesforce.poll import SOURCES, Cursor, Source, event_id
from apps.connectors.protocols.convert import decimal, instant
from apps.connectors.protocols.http import Answer, Http
from apps.connectors.protocols.oauth import OAuth, Token, client_credentials, fingerprint, jwt_bearer
from apps.connectors.protocols.webhooks import verify_standard
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
)
from apps.core import clock

API_VERSION = "v68.0"
TOKEN_PATH = "/services/oauth2/token"  # noqa: S105 - an address
#: ``api-usage=18/5000; per-app-api-usage=17/250(appName=x)``: the first is the whole org's.
_USAGE = re.compile(r"(?<![\w-])api-usage=(?P<used>\d{1,12})/(?P<most>\d{1,12})")
STATUS_OBJECT = "Eng_Status__c"
STATUS_KEY = "Engagement_Key__c"
#: Our value → their field.
STATUS_FIELDS: dict[str, str] = {
    "status": "Status__c",
    "message": "Message__c",
    "erp_project": "ERP_Project__c",
    "psa_project": "PSA_Project__c",
    "invoice_status": "Invoice_Status__c",
    "paid_amount": "Paid_Amount__c",
    "console_url": "Console_Url__c",
    "correlation_id": "Correlation_Id__c",
}
DESCRIPTION = Description(
    concurrency=10,
    vendor="salesforce",
    title="Salesforce",
    config_schema={
        "type": "object",
        "additionalProperties": False,
        "properties": {
            "auth": {
                "type": "string",
                "title": "Sign-in",
                "enum": ["client_credentials", "jwt_bearer"],
                "default": "client_credentials",
            },
            "client_id": {"type": "string", "title": "Consumer key"},
            "username": {"type": "string", "title": "User name (JWT bearer only)"},
            "audience": {
                "type": "string",
                "title": "Audience (JWT bearer only)",
                "default": "https://login.salesforce.com",
            },
            "api_version": {"type": "string", "title": "API version", "default": API_VERSION},
            "event_schemas": {
                "type": "array",
                "title": "Accepted event schemas (empty = all)",
                "items": {"type": "string"},
            },
        },
        "required": ["client_id"],
    },
    secret_names=("client_secret", "private_key", "webhook_secret"),
    reads=("deal", "customer"),
    writes={("deal_status", "create"): "upsert", ("customer_ref", "update"): "upsert"},
    pushes_events=True,
    polls=("deal", "customer"),
    record_url="{base_url}/lightning/r/{external_id}/view",
)


class SalesforceAdapter:
    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._api = f"/services/data/{settings.config.get('api_version') or API_VERSION}"
        secrets = [value for value in settings.secrets.values() if value]
        self._tokens = Http(system=settings.system, base_url=settings.base_url, secrets=secrets)
        config = settings.config
        credentials = fingerprint(
            settings.base_url,
            str(config.get("auth", "")),
            str(config.get("client_id", "")),
            str(config.get("username", "")),
            settings.secrets.get("client_secret", ""),
            settings.secrets.get("private_key", ""),
        )
        self._http = Http(
            system=settings.system,
            base_url=settings.base_url,
            auth=OAuth(system=settings.system, credentials=credentials, mint=self._mint),
            headers={
                "Sforce-Call-Options": f"client={events.CLIENT}",
                "Sforce-Query-Options": "batchSize=2000",
            },
            sort_error=sort_error,
            secrets=secrets,
            heard=self._hear,
        )
        self._used: float | None = None

    def describe(self) -> Description:
        return DESCRIPTION

    def check(self) -> Health:
        try:
            answer = self._http.get(f"{self._api}/limits")
            daily = (answer.body() or {}).get("DailyApiRequests") or {}
        except AdapterError as error:
            return Health(
                ok=False, message=error.message, details={"kind": str(error.kind), "code": error.code}
            )
        left, most = daily.get("Remaining"), daily.get("Max")
        return Health(
            ok=True,
            message=f"Signed in. {left} of {most} API calls are left today.",
            details={"api_calls_left": left, "api_calls_a_day": most},
        )

    def used(self) -> float | None:
        """The share of the rolling 24 hours' calls that is used, from ``Sforce-Limit-Info``."""
        used, self._used = self._used, None
        return used

    def _hear(self, headers: Mapping[str, str]) -> None:
        found = _USAGE.search(headers.get("Sforce-Limit-Info", ""))
        if found and int(found["most"]):
            self._used = int(found["used"]) / int(found["most"])

    # ---- reading -------------------------------------------------------------------------------------------------

    def find(
        self, *, object_type: str, by: str, value: str, extra: Mapping[str, Any] | None = None
    ) -> Sequence[Observed]:
        if by != "id" or object_type not in ("deal", "customer"):
            raise AdapterError(
                ErrorKind.CONTRACT_DRIFT,
                f"Salesforce cannot look for {object_type} by {by}.",
                code="INT-SCHEMA",
            )
        record_id = soql.literal(soql.record_id(value))
        if object_type == "customer":
            rows = self._query(soql.select(soql.ACCOUNT, "Account", f"Id = {record_id}"))
            return [
                compose.customer(system=self.settings.system, url=self._url("Account", row), account=row)
                for row in rows
            ]
        return [
            self._deal(row)
            for row in self._query(soql.select(soql.OPPORTUNITY, "Opportunity", f"Id = {record_id}"))
        ]

    def _deal(self, opportunity: Mapping[str, Any]) -> Observed:
        """Four queries a deal: header with account and contract, lines, billing schedule, rates."""
        record_id = soql.literal(str(opportunity["Id"]))
        child = f"Opportunity__c = {record_id}"
        return compose.deal(
            system=self.settings.system,
            url=self._url("Opportunity", opportunity),
            opportunity=opportunity,
            lines=self._query(
                soql.select(
                    soql.LINE, "OpportunityLineItem", f"OpportunityId = {record_id}", order="SortOrder, Id"
                )
            ),
            schedule=self._query(
                soql.select(soql.SCHEDULE, "Billing_Schedule__c", child, order="Sort__c, Id")
            ),
            rates=self._query(soql.select(soql.RATE, "Deal_Rate__c", child, order="Id")),
        )

    def _query(self, text: str) -> list[Mapping[str, Any]]:
        """All rows of a query, over all pages."""
        body = self._page(self._http.get(f"{self._api}/query", params={"q": text}))
        rows = list(body["records"])
        while not body.get("done", True):
            following = str(body.get("nextRecordsUrl") or "")
            if not following.startswith("/services/data/"):
                raise AdapterError(
                    ErrorKind.CONTRACT_DRIFT,
                    "Salesforce named a next page outside of its API.",
                    code="INT-SCHEMA",
                )
            body = self._page(self._http.get(following))
            rows.extend(body["records"])
        return rows

    def _page(self, answer: Answer) -> Mapping[str, Any]:
        body = answer.body()
        if not isinstance(body, dict) or not isinstance(body.get("records"), list):
            raise AdapterError(
                ErrorKind.CONTRACT_DRIFT,
                "Salesforce answered a query without records.",
                code="INT-SCHEMA",
                exchange=answer.exchange,
            )
        return body

    def _url(self, entity: str, row: Mapping[str, Any]) -> str:
        return f"{self.settings.base_url}/lightning/r/{entity}/{row['Id']}/view"

    # ---- polling -------------------------------------------------------------------------------------------------

    def fetch(self, *, object_type: str, cursor: str, limit: int = 200) -> Page:
        if object_type not in SOURCES:
            raise AdapterError(
                ErrorKind.CONTRACT_DRIFT, f"Salesforce is not polled for {object_type}.", code="INT-SCHEMA"
            )
        state = Cursor.read(cursor, object_type=object_type, now=clock.now())
        found: list[Change] = []
        more = False
        sources = SOURCES[object_type]
        # While a round is under way only the sources that have pages left are asked.
        under_way = [source for source in sources if state.positions[source.name].within]
        for source in under_way or sources:
            changes, source_more = self._poll(source, object_type, state, max(1, min(limit, 2000)))
            found.extend(changes)
            more = more or source_more
        found.sort(key=lambda change: (change.occurred_at, change.external_id))
        return Page(changes=found, cursor=state.text(), more=more)

    def _poll(self, source: Source, object_type: str, state: Cursor, limit: int) -> tuple[list[Change], bool]:
        position, now = state.positions[source.name], clock.now()
        fields = ["Id", "SystemModstamp", *([source.parent] if source.parent != "Id" else [])]
        fields += [source.entity] if source.entity else []
        query = soql.select(
            fields, source.name, position.condition(), order="SystemModstamp, Id", limit=limit
        )
        rows = self._query(query)
        if not rows:
            position.within = False
            return [], False
        deals = self._deals_of_contracts(rows) if source.name == "Contract" else {}
        found = []
        for row in rows:
            stamp = str(row["SystemModstamp"])
            parents = deals.get(str(row["Id"]), []) if source.name == "Contract" else [row.get(source.parent)]
            for parent in parents:
                if parent:
                    found.append(
                        Change(
                            object_type=object_type,
                            external_id=str(parent),
                            event_id=event_id(source.name, str(row["Id"]), str(parent), stamp, now=now),
                            occurred_at=instant(stamp, field="SystemModstamp"),
                            event_type="polled",
                            legal_entity_code=str(row.get(source.entity) or "") if source.entity else "",
                        )
                    )
        more = len(rows) >= limit
        last = instant(rows[-1]["SystemModstamp"], field="SystemModstamp")
        if last is not None:
            position.advance(last, str(rows[-1]["Id"]), more=more)
        return found, more

    def _deals_of_contracts(self, rows: Sequence[Mapping[str, Any]]) -> dict[str, list[str]]:
        """Contract id → opportunities that name it: signing a contract completes a deal."""
        deals: dict[str, list[str]] = {}
        ids = [str(row["Id"]) for row in rows]
        for start in range(0, len(ids), 200):
            names = ", ".join(soql.literal(item) for item in ids[start : start + 200])
            query = soql.select(["Id", "ContractId"], "Opportunity", f"ContractId IN ({names})")
            for row in self._query(query):
                deals.setdefault(str(row["ContractId"]), []).append(str(row["Id"]))
        return deals

    # ---- writing -------------------------------------------------------------------------------------------------

    def push(self, push: Push) -> Outcome:
        if (push.object_type, push.operation) == ("deal_status", "create"):
            return self._push_status(push)
        if (push.object_type, push.operation) == ("customer_ref", "update"):
            return self._push_customer_ref(push)
        raise AdapterError(
            ErrorKind.CONTRACT_DRIFT,
            f"Salesforce does not take {push.object_type}/{push.operation}.",
            code="INT-SCHEMA",
        )

    def _push_status(self, push: Push) -> Outcome:
        """Upsert by external id: written twice it is still one record."""
        answer = self._http.patch(self._status_path(push), json=_status_body(push))
        body = answer.data if isinstance(answer.data, dict) else {}
        external_id = str(body.get("id") or "")
        if not external_id:  # 204: before API version 46 an update has no body
            found = self.probe(push)
            external_id = found.external_id if found else ""
        return Outcome(
            external_id=external_id,
            created=answer.status == 201,
            url=f"{self.settings.base_url}/lightning/r/{STATUS_OBJECT}/{external_id}/view",
            exchange=answer.exchange,
        )

    def _push_customer_ref(self, push: Push) -> Outcome:
        account_id = soql.record_id(push.external_id)
        headers = {}
        seen_at = instant(push.if_version, field="if_version") if push.if_version else None
        if seen_at is not None:
            headers["If-Unmodified-Since"] = format_datetime(seen_at, usegmt=True)
        answer = self._http.patch(
            f"{self._api}/sobjects/Account/{account_id}",
            json={"ERP_Customer_Id__c": _erp_customer_id(push)},
            headers=headers,
        )
        return Outcome(
            external_id=account_id,
            created=False,
            url=self._url("Account", {"Id": account_id}),
            exchange=answer.exchange,
        )

    def probe(self, push: Push) -> Outcome | None:
        """Whether the record stands as the push wanted it. Not yet or not so = None: both writes may be repeated."""
        if (push.object_type, push.operation) == ("customer_ref", "update"):
            path, wanted = (
                f"{self._api}/sobjects/Account/{soql.record_id(push.external_id)}",
                {"ERP_Customer_Id__c": _erp_customer_id(push)},
            )
        else:
            path, wanted = self._status_path(push), _status_body(push)
        answer = self._http.get(path, params={"fields": ",".join(["Id", *wanted])}, expect=(404,))
        row = answer.data
        if answer.status == 404 or not isinstance(row, dict):
            return None
        if any(_differs(row.get(name), value) for name, value in wanted.items()):
            return None
        return Outcome(external_id=str(row["Id"]), created=False, exchange=answer.exchange)

    def _status_path(self, push: Push) -> str:
        return f"{self._api}/sobjects/{STATUS_OBJECT}/{STATUS_KEY}/{quote(push.key, safe='')}"

    # ---- events --------------------------------------------------------------------------------------------------

    def receive(
        self, *, headers: Mapping[str, str], body: bytes, secrets: Sequence[str], now: datetime
    ) -> tuple[str, Sequence[Change]]:
        event_id = verify_standard(headers=headers, body=body, secrets=secrets, now=now)
        schemas = self.settings.config.get("event_schemas") or ()
        return event_id, events.changes(body, event_id=event_id, schemas=schemas)

    # ---- signing in ----------------------------------------------------------------------------------------------

    def _mint(self) -> Token:
        config, secrets = self.settings.config, self.settings.secrets
        client_id = str(config.get("client_id") or "")
        if config.get("auth") == "jwt_bearer":
            return jwt_bearer(
                self._tokens,
                path=TOKEN_PATH,
                issuer=client_id,
                subject=str(config.get("username") or ""),
                audience=str(config.get("audience") or "https://login.salesforce.com"),
                private_key=secrets.get("private_key", ""),
            )
        return client_credentials(
            self._tokens, path=TOKEN_PATH, client_id=client_id, client_secret=secrets.get("client_secret", "")
        )


def _status_body(push: Push) -> dict[str, Any]:
    unknown = sorted(set(push.values) - set(STATUS_FIELDS))
    if unknown:
        raise AdapterError(
            ErrorKind.CONTRACT_DRIFT,
            f"The engagement status has no field for {', '.join(unknown)}.",
            code="INT-SCHEMA",
            field=unknown[0],
        )
    body = {STATUS_FIELDS[name]: value for name, value in push.values.items()}
    if push.refs.get("deal"):
        body["Opportunity__c"] = push.refs["deal"]
    return body


def _erp_customer_id(push: Push) -> str:
    value = push.values.get("erp_customer_id") or push.refs.get("customer") or ""
    if not value:
        raise AdapterError(
            ErrorKind.REJECTED, "There is no ERP customer id to write.", field="erp_customer_id"
        )
    return str(value)


def _differs(theirs: Any, ours: Any) -> bool:
    """Numbers by value (``150`` is ``150.00``), everything else as text; an empty field is an empty text."""
    if ours in (None, "") or theirs in (None, ""):
        return (ours in (None, "")) != (theirs in (None, ""))
    if isinstance(ours, bool) or isinstance(theirs, bool):
        return bool(ours) != bool(theirs)
    if str(theirs) == str(ours):
        return False
    try:
        return decimal(theirs, field="value") != decimal(ours, field="value")
    except AdapterError:
        return True
