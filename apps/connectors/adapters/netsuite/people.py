"""Employees: whom the ERP knows, by the e-mail address that a project system knows them by too.

Public surface: :func:`find_employees`.

Fields: SuiteTalk REST record ``employee``, read by SuiteQL.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from apps.canonical.objects import Employee
from apps.connectors.adapters.netsuite.client import MODIFIED, is_true, literal
from apps.connectors.adapters.netsuite.vocabulary import Vocabulary
from apps.connectors.protocols.convert import built
from apps.connectors.spi import AdapterError, ErrorKind, Observed

_COLUMNS = f"id, entityid, firstname, lastname, email, isinactive, {MODIFIED}"


def find_employees(words: Vocabulary, *, by: str, value: str) -> list[Observed]:
    """Employees by ``email`` (exact, whatever its case), or all of them (``name`` with an empty value)."""
    if by == "email":
        rows = (
            words.client.rows(_COLUMNS, "employee", f"UPPER(email) = {literal(value.upper())}")
            if value
            else iter(())
        )
    elif by == "name" and not value:
        rows = words.client.rows(_COLUMNS, "employee")
    else:
        raise AdapterError(
            ErrorKind.CONTRACT_DRIFT, f"NetSuite employees cannot be searched by {by}.", code="INT-SCHEMA"
        )
    return [_employee(words, row) for row in rows]


def _employee(words: Vocabulary, row: Mapping[str, Any]) -> Observed:
    internal_id, inactive = str(row["id"]), is_true(row.get("isinactive"))
    parts = [str(row.get(name) or "") for name in ("firstname", "lastname")]
    name = " ".join(part for part in parts if part) or str(row.get("entityid") or internal_id)
    body = built(
        Employee,
        "The employee in NetSuite",
        key=f"{words.client.settings.system}:{internal_id}",
        name=name,
        email=str(row.get("email") or "").strip().lower(),
        active=not inactive,
    )
    return Observed(
        object_type="employee",
        external_id=internal_id,
        body=body,
        version=str(row.get("lastmodifieddate") or ""),
        modified_at=words.client.moment(row.get("lastmodifieddate")),
        url=words.page("employee", internal_id),
        facts={"inactive": inactive},
    )
