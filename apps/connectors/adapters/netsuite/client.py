"""Calls to SuiteTalk REST: sign-in, records, SuiteQL.

Public surface: :class:`Client`, and small readers and writers of values (:func:`literal`, :func:`reference`, …).

Sources: SuiteTalk REST guide – OAuth 2.0 client credentials (section_162755359851), upsert by external id
(section_156335203191), SuiteQL (section_157909186990).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime
from decimal import Decimal, InvalidOperation
from typing import Any
from urllib.parse import quote
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from apps.connectors.adapters.netsuite.errors import sort_error
from apps.connectors.protocols.http import Answer, Http
from apps.connectors.protocols.oauth import OAuth, Token, fingerprint, signed_client_credentials
from apps.connectors.spi import AdapterError, ErrorKind, Settings

RECORDS = "/services/rest/record/v1"
SUITEQL = "/services/rest/query/v1/suiteql"
TOKEN = "/services/rest/auth/oauth2/v1/token"  # noqa: S105 - a path, not a secret
#: Selected as it is, a date-time comes in the user's date format and without its time.
MODIFIED = "TO_CHAR(lastmodifieddate, 'YYYY-MM-DD HH24:MI:SS') AS lastmodifieddate"
#: Rows of one SuiteQL page (vendor limit 1,000).
PAGE_ROWS = 1000
ALGORITHMS = ("PS256", "PS384", "PS512", "ES256", "ES384", "ES512")
#: An external id may hold letters, digits, underscore and hyphen.
_EXTERNAL_ID = re.compile(r"[A-Za-z0-9_-]+")


class Client:
    """One NetSuite account."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        config, secrets = settings.config, settings.secrets
        self._secrets = tuple(value for value in secrets.values() if value)
        private_key = secrets.get("private_key", "")
        client_id, certificate_id = str(config.get("client_id", "")), str(config.get("certificate_id", ""))
        algorithm = str(config.get("algorithm") or _algorithm(private_key))
        door = Http(system=settings.system, base_url=settings.base_url, secrets=self._secrets)

        def mint() -> Token:
            return signed_client_credentials(
                door,
                path=TOKEN,
                audience=str(config.get("token_audience") or settings.base_url.rstrip("/") + TOKEN),
                client_id=client_id,
                certificate_id=certificate_id,
                private_key=private_key,
                algorithm=algorithm,
                scope="rest_webservices",
            )

        known = fingerprint(settings.base_url, client_id, certificate_id, private_key, algorithm)
        self.http = Http(
            system=settings.system,
            base_url=settings.base_url,
            auth=OAuth(system=settings.system, credentials=known, mint=mint),
            # A misspelt property must be an error; by default NetSuite may ignore it and lose the value.
            headers={"X-NetSuite-PropertyNameValidation": "Error"},
            sort_error=sort_error,
            secrets=self._secrets,
        )

    # -- records -------------------------------------------------------------------------------

    def get(self, kind: str, key: str, *, sub_resources: bool = True) -> dict[str, Any] | None:
        """A record by id or ``eid:<external id>``; None when NetSuite does not have it."""
        try:
            answer = self.http.get(
                f"{RECORDS}/{kind}/{quote(key, safe=':')}",
                params={"expandSubResources": "true"} if sub_resources else None,
            )
        except AdapterError as error:
            if error.kind is ErrorKind.NOT_FOUND:
                return None
            raise
        return _object(answer)

    def upsert(
        self, kind: str, external_id: str, body: Mapping[str, Any], *, replace: str = ""
    ) -> tuple[str, Answer]:
        """Create or update by our external id; returns the internal id and the answer.

        ``replace`` names the sublists that are replaced and not merged; without it a second upsert of the same
        object would add its lines once more.
        """
        path = f"{RECORDS}/{kind}/eid:{_checked(external_id)}"
        answer = self.http.put(path, json=dict(body), params={"replace": replace} if replace else None)
        return self._written_id(kind, f"eid:{external_id}", answer), answer

    def patch(self, kind: str, key: str, body: Mapping[str, Any], *, replace: str = "") -> Answer:
        return self.http.patch(
            f"{RECORDS}/{kind}/{quote(key, safe=':')}",
            json=dict(body),
            params={"replace": replace} if replace else None,
        )

    def _written_id(self, kind: str, key: str, answer: Answer) -> str:
        """The id in ``Location: …/record/v1/customer/647``; NetSuite answers writes with 204 and no body."""
        location = answer.headers.get("Location", "")
        tail = location.rstrip("/").rsplit("/", 1)[-1]
        if tail and not tail.startswith("eid:"):
            return tail
        return self.written(kind, key, answer)["id"]

    def written(self, kind: str, key: str, answer: Answer) -> dict[str, Any]:
        """Read back what was just written. Raises ``UNKNOWN`` when that fails: the write itself did happen."""
        try:
            record = self.get(kind, key)
        except AdapterError as error:
            raise AdapterError(
                ErrorKind.UNKNOWN,
                f"NetSuite accepted the write, but reading it back failed: {error.message}",
                exchange=answer.exchange,
            ) from error
        if record is None:
            raise AdapterError(
                ErrorKind.UNKNOWN,
                "NetSuite accepted the write, but does not show the record.",
                exchange=answer.exchange,
            )
        return record

    # -- SuiteQL -------------------------------------------------------------------------------

    def query(self, statement: str, *, limit: int = PAGE_ROWS) -> list[dict[str, Any]]:
        """The first ``limit`` rows (at most 1,000) of a SuiteQL statement. Values are strings, names lower-case."""
        answer = self.http.post(
            SUITEQL,
            json={"q": statement},
            params={"limit": str(min(limit, PAGE_ROWS)), "offset": "0"},
            headers={"Prefer": "transient"},
            write=False,
        )
        body = answer.body()
        items = body.get("items") if isinstance(body, dict) else None
        if not isinstance(items, list):
            raise AdapterError(
                ErrorKind.CONTRACT_DRIFT,
                "NetSuite answered a query without rows.",
                code="INT-SCHEMA",
                exchange=answer.exchange,
            )
        return [{str(name).lower(): value for name, value in row.items() if name != "links"} for row in items]

    def select(
        self, columns: str, table: str, *conditions: str, limit: int = PAGE_ROWS
    ) -> list[dict[str, Any]]:
        """The first rows by id that satisfy all conditions. Values in conditions come from :func:`literal`."""
        where = f"WHERE {' AND '.join(conditions)}" if conditions else ""
        return self.query(" ".join(["SELECT", columns, "FROM", table, where, "ORDER BY id"]), limit=limit)

    def rows(self, columns: str, table: str, *conditions: str) -> Iterator[dict[str, Any]]:
        """All rows, page by page over the id: an offset would skip rows when the table changes meanwhile."""
        after = 0
        while True:
            page = self.select(columns, table, f"id > {after}", *conditions)
            yield from page
            if len(page) < PAGE_ROWS:
                return
            after = int(page[-1]["id"])

    # -- time ----------------------------------------------------------------------------------

    @property
    def zone(self) -> ZoneInfo:
        """The time zone of the integration user's preferences; SuiteQL reads and writes local times."""
        name = str(self.settings.config.get("timezone") or "UTC")
        try:
            return ZoneInfo(name)
        except (ZoneInfoNotFoundError, ValueError):
            raise AdapterError(
                ErrorKind.CONTRACT_DRIFT,
                f"The time zone {name!r} of this connection is not known.",
                code="INT-SCHEMA",
            ) from None

    def timestamp(self, moment: datetime) -> str:
        """A SuiteQL timestamp literal."""
        local = moment.astimezone(self.zone)
        return f"TO_TIMESTAMP('{local:%Y-%m-%d %H:%M:%S}', 'YYYY-MM-DD HH24:MI:SS')"

    def moment(self, text: Any) -> datetime | None:
        """A date-time of NetSuite: ISO 8601 in records, ``YYYY-MM-DD HH:MM:SS`` in local time from SuiteQL."""
        if not isinstance(text, str) or not text:
            return None
        try:
            found = datetime.fromisoformat(text)
        except ValueError:
            return None
        return (found if found.tzinfo else found.replace(tzinfo=self.zone)).astimezone(UTC)


def literal(value: str) -> str:
    """A SuiteQL string literal."""
    return "'" + value.replace("'", "''") + "'"


def like(value: str) -> str:
    """A ``LIKE`` literal for "contains"; wildcards in the value stand for any one character (a superset is fine)."""
    return literal("%" + re.sub(r"[%_\\]", "_", value) + "%")


def reference(value: Any) -> dict[str, str]:
    """``{"id": "5"}``, the way a record refers to another."""
    return {"id": str(value)}


def ref_id(value: Any) -> str:
    """The id of a reference, or "" when the field is empty."""
    return str(value.get("id") or "") if isinstance(value, Mapping) else str(value or "")


def ref_name(value: Any) -> str:
    return str(value.get("refName") or "") if isinstance(value, Mapping) else ""


def number(value: Decimal) -> int | float:
    """A JSON number as NetSuite wants it. Up to 15 digits the shortest text of a float is the decimal itself."""
    return int(value) if value == value.to_integral_value() else float(value)


def decimal(value: Any) -> Decimal | None:
    """A number that NetSuite sent as number or text."""
    if value is None or value == "" or isinstance(value, bool):
        return None
    try:
        found = Decimal(str(value))
    except InvalidOperation:
        return None
    return found if found.is_finite() else None


def day(value: Any) -> date | None:
    """A calendar date of a record (``2026-11-20``, sometimes with a time)."""
    if not isinstance(value, str) or len(value) < 10:
        return None
    try:
        return date.fromisoformat(value[:10])
    except ValueError:
        return None


def items(sublist: Any) -> list[dict[str, Any]]:
    """The lines of an expanded sublist (``{"items": [...]}``)."""
    found = sublist.get("items") if isinstance(sublist, Mapping) else None
    return [line for line in found if isinstance(line, dict)] if isinstance(found, list) else []


def is_true(value: Any) -> bool:
    """Records say ``true``, SuiteQL says ``T``."""
    return value is True or (isinstance(value, str) and value.upper() in ("T", "TRUE"))


def _object(answer: Answer) -> dict[str, Any]:
    body = answer.body()
    if not isinstance(body, dict) or "id" not in body:
        raise AdapterError(
            ErrorKind.CONTRACT_DRIFT,
            "NetSuite answered with something that is no record.",
            code="INT-SCHEMA",
            exchange=answer.exchange,
        )
    return {**body, "id": str(body["id"])}


def _checked(external_id: str) -> str:
    if not _EXTERNAL_ID.fullmatch(external_id):
        raise AdapterError(
            ErrorKind.REJECTED,
            "An external id in NetSuite may hold only letters, digits, underscore and hyphen.",
            code="INT-SCHEMA",
            field="key",
            value=external_id,
        )
    return external_id


def _algorithm(private_key: str) -> str:
    return "ES256" if "BEGIN EC PRIVATE KEY" in private_key else "PS256"
