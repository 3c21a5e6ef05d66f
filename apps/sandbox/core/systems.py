"""The systems of one sandbox and what a vendor has to bring.

Public surface: Vendor (base class), System, NoSuchRecord.
"""

import threading
from typing import Any

from .http import Request, Response
from .outgoing import Outgoing, standard_webhook_headers
from .store import Document, Store


class NoSuchRecord(Exception):
    """The control door named a record that is not there."""


class Vendor:
    """What a vendor folder implements. One instance a system; ``self.system`` is where it keeps things."""

    pushes = False

    def __init__(self, system: "System"):
        self.system = system

    def install(self) -> None:
        """Write the vendor's constants (currencies, periods) when they are missing."""

    def forget(self) -> None:
        """Drop what the vendor keeps outside of documents (cursors, tables of its own)."""

    def enter(self, request: Request) -> Response | None:
        """Before faults and handling: an answer that ends the request, or None to go on."""

    def leave(self, request: Request) -> None:
        """After the request in any case."""

    def handle(self, request: Request) -> Response:
        """Answer one API request. Runs in a unit of work when the method writes."""
        raise NotImplementedError

    def finish(self, request: Request, response: Response) -> None:
        """Add headers that every answer of the vendor carries, also a faulty one."""

    def fault_response(self, status: int) -> Response:
        """The vendor's own way to say this status, for faults without a body."""
        return Response(status, {"message": "fault"})

    def sign(self, secret: str, event_id: str, body: bytes) -> dict[str, str]:
        return standard_webhook_headers(secret, event_id, body)

    def expire(self) -> None:
        """What ``expire_tokens`` means where the token is a fixed key: it is refused until set anew."""

    # -- control door: as an admin (seed) or as a person using the vendor's screens --------------

    def put(self, kind: str, record: dict, *, emit: bool) -> Document:
        raise NotImplementedError

    def change(self, kind: str, id_: str, fields: dict, *, emit: bool) -> Document:
        raise NotImplementedError

    def remove(self, kind: str, id_: str, *, emit: bool) -> None:
        raise NotImplementedError

    def define(self, schema: dict[str, dict[str, Any]]) -> None:
        """Add custom fields, as an administrator would."""
        raise ValueError("this vendor has no custom fields here")

    def action(self, name: str, body: dict) -> Any:
        """A vendor-specific control action, e.g. ``pay``; None when there is none of that name."""
        return None


class System:
    """One emulated system: its vendor, its slice of the store, its outgoing queue."""

    def __init__(self, store: Store, name: str, vendor: "type[Vendor]", port: int, account: str):
        self.store, self.name, self.port, self.account = store, name, port, account
        self.vendor_name = vendor.__name__.lower()
        self.base_url = f"http://127.0.0.1:{port}"
        self.in_flight = 0
        self.gauge = threading.Lock()
        self.vendor: Vendor = vendor(self)
        self.outgoing = Outgoing(store, name, self.vendor.sign)

    # Shorthands over the store, so that vendor code reads well.
    def get(self, kind: str, id_: str) -> Document | None:
        return self.store.get(self.name, kind, id_)

    def all(self, kind: str) -> list[Document]:
        return self.store.all(self.name, kind)

    def find(self, kind: str, field: str, value: Any) -> list[Document]:
        return self.store.find(self.name, kind, field, value)

    def put(self, kind: str, id_: str, doc: Document) -> Document:
        self.store.put(self.name, kind, id_, doc)
        return doc

    def delete(self, kind: str, id_: str) -> Document | None:
        return self.store.delete(self.name, kind, id_)

    def number(self, name: str, *, start: int = 0) -> int:
        return self.store.counter(f"{self.name}:{name}", start=start)

    @property
    def credentials(self) -> dict:
        return self.store.setting(self.name, "credentials", {})

    def setting(self, name: str, default: Any) -> Any:
        """A knob of this system as set through the control door."""
        return self.store.setting(self.name, "settings", {}).get(name, default)

    def reset(self, *, everything: bool) -> None:
        with self.store.transaction():
            self.store.clear(self.name, everything=everything)
            self.vendor.forget()
            self.vendor.install()
