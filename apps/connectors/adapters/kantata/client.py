"""Calls to the Kantata OX API: bearer token, list envelope, external references.

Public surface: :class:`Client`, :class:`Listing`, :func:`archived_too`.

Every answer is ``{"count", "meta", "results": [{"key", "id"}], "<key>": {"<id>": {…}}}``; only ``results`` says which
records were found and in which order, the rest may hold included ones. Source: developer.kantata.com, "API overview".
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import quote

from apps.connectors.adapters.kantata.errors import sort_error
from apps.connectors.protocols.http import Answer, Http, StaticAuth
from apps.connectors.spi import AdapterError, ErrorKind, Settings

#: Records of one page (vendor limit).
PAGE = 200
#: Ids asked for in one request: the address of a longer list would be refused.
IDS = 100
#: Our name among the services that put references on Kantata's objects.
SERVICE = "pssync"
#: Lists that take ``updated_after`` and ``updated_before`` and sort by it; billing milestones do not.
UPDATED_FILTER = frozenset({"workspaces", "time_entries"})


@dataclass(frozen=True)
class Listing:
    """One answered page. ``records`` in the order of ``results``; ``body`` holds what was included."""

    records: tuple[dict[str, Any], ...]
    body: Mapping[str, Any]
    pages: int
    answer: Answer

    def included(self, key: str, record_id: Any) -> dict[str, Any]:
        """A record that came along (``include=``), or {}."""
        found = self.body.get(key)
        held = found.get(str(record_id)) if isinstance(found, Mapping) and record_id else None
        return dict(held) if isinstance(held, Mapping) else {}


class Client:
    """One Kantata account."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.base = str(settings.config.get("api_path") or "/api/v1").rstrip("/")
        token = settings.secrets.get("token", "")
        self.http = Http(
            system=settings.system,
            base_url=settings.base_url,
            auth=StaticAuth(f"Bearer {token}"),
            sort_error=sort_error,
            secrets=tuple(value for value in settings.secrets.values() if value),
        )

    @property
    def service(self) -> str:
        return str(self.settings.config.get("service_name") or SERVICE)

    # -- reading -------------------------------------------------------------------------------

    def page(self, plural: str, params: Mapping[str, Any], *, number: int = 1, size: int = PAGE) -> Listing:
        answer = self.http.get(
            f"{self.base}/{plural}", params={**params, "page": str(number), "per_page": str(size)}
        )
        return listing(answer)

    def pages(self, plural: str, params: Mapping[str, Any]) -> Iterator[Listing]:
        """All pages of a list in the order of creation, so that a new record never shifts those before it."""
        number = 1
        while True:
            found = self.page(plural, {"order": "created_at:asc", **params}, number=number)
            yield found
            if number >= found.pages:
                return
            number += 1

    def one(self, plural: str, record_id: str, *, include: str = "") -> Listing | None:
        """A record by id. Asked as a list of one: the show route answers 404 for what a default filter hides."""
        if not record_id.isdigit():
            return None
        params = {"only": record_id, **({"include": include} if include else {}), **archived_too(plural)}
        found = self.page(plural, params)
        return found if found.records else None

    def only(self, plural: str, ids: Sequence[str], *, include: str = "") -> Iterator[Listing]:
        """Those of these records that are there, archived ones too; as many pages as they take."""
        wanted = [one for one in ids if one.isdigit()]
        for first in range(0, len(wanted), IDS):
            params = {"only": ",".join(wanted[first : first + IDS]), **archived_too(plural)}
            yield from self.pages(plural, params | ({"include": include} if include else {}))

    def referred(self, plural: str, model: str, key: str, *, include: str = "") -> Listing | None:
        """The record that carries our reference ``key``. Of several the one that is not archived: the others were put away.

        Raises ``REJECTED``/``PRJ-DUP`` when that leaves several: one of them was made twice and a person must say which.
        """
        found = self.all_referred(plural, model, key, include=include)
        living = found.records
        if plural == "workspaces" and len(living) > 1:
            living = tuple(record for record in living if not record.get("archived"))
        if len(living) != 1 and len(found.records) > 1:
            ids = ", ".join(str(record["id"]) for record in found.records)
            raise AdapterError(
                ErrorKind.REJECTED,
                f"Kantata holds several objects for {key}: {ids}.",
                code="PRJ-DUP",
                field="key",
                value=key,
                exchange=found.answer.exchange,
            )
        if len(found.records) > 1:
            found = replace(found, records=living)
        return found if found.records else None

    def all_referred(self, plural: str, model: str, key: str, *, include: str = "") -> Listing:
        """Every record that carries our reference ``key``; archived projects too, which a plain list leaves out."""
        if "," in key:
            raise AdapterError(
                ErrorKind.CONTRACT_DRIFT,
                f"Kantata cannot be searched for {key}.",
                code="INT-SCHEMA",
                value=key,
            )
        params = {
            "external_reference_service_name": self.service,
            "external_reference_service_model": model,
            # The filter of one reference takes a number; the one of many takes texts.
            "external_reference_service_model_refs": key,
            **({"include": include} if include else {}),
            **archived_too(plural),
        }
        return self.page(plural, params)

    # -- writing -------------------------------------------------------------------------------

    def create(
        self, plural: str, singular: str, values: Mapping[str, Any], *, include: str = ""
    ) -> tuple[dict[str, Any], Answer]:
        asked = f"?include={quote(include, safe=',')}" if include else ""
        answer = self.http.post(f"{self.base}/{plural}{asked}", json={singular: dict(values)})
        return self._written(answer), answer

    def update(
        self, plural: str, singular: str, record_id: str, values: Mapping[str, Any]
    ) -> tuple[dict[str, Any], Answer]:
        answer = self.http.put(f"{self.base}/{plural}/{quote(record_id)}", json={singular: dict(values)})
        return self._written(answer), answer

    def reference(self, model: str, key: str, *, message: str = "") -> dict[str, Any]:
        """The external reference that a new object is created with, in the same request."""
        found = {
            "service_name": self.service,
            "service_model": model,
            "service_model_ref": key,
            "status": "successful",
        }
        return found | ({"external_message": message} if message else {})

    def _written(self, answer: Answer) -> dict[str, Any]:
        found = listing(answer)
        if len(found.records) != 1:
            raise AdapterError(
                ErrorKind.UNKNOWN,
                "Kantata accepted the write, but does not show the record.",
                exchange=answer.exchange,
            )
        return found.records[0]


def archived_too(plural: str) -> dict[str, str]:
    """A plain list of projects leaves the archived ones out."""
    return {"include_archived": "true"} if plural == "workspaces" else {}


def listing(answer: Answer) -> Listing:
    """The envelope of an answer. Raises ``CONTRACT_DRIFT`` when it has none."""
    body = answer.body()
    results = body.get("results") if isinstance(body, dict) else None
    if not isinstance(results, list):
        raise AdapterError(
            ErrorKind.CONTRACT_DRIFT,
            "Kantata answered without results.",
            code="INT-SCHEMA",
            exchange=answer.exchange,
        )
    records = []
    for result in results:
        held = body.get(str(result.get("key")), {}).get(str(result.get("id")))
        if isinstance(held, dict):
            records.append({**held, "id": str(held.get("id", result.get("id")))})
    meta = body.get("meta")
    pages = int(meta.get("page_count") or 1) if isinstance(meta, dict) else 1
    return Listing(tuple(records), body, pages, answer)
