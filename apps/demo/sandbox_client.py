"""A thin client of the sandbox's control door (docs/sandbox.md).

Public surface: SandboxControl, SystemControl, ControlError.
"""

import time
from collections.abc import Callable
from typing import Any

import requests


class ControlError(Exception):
    """The control door refused; ``status`` and ``answer`` say how."""

    def __init__(self, status: int, answer: Any):
        super().__init__(f"the control door answered {status}: {answer}")
        self.status, self.answer = status, answer


class SandboxControl:
    """Talks to ``http://127.0.0.1:<base_port>/_control``. Not shared between threads."""

    def __init__(self, base_url: str, *, timeout: float = 60.0):
        self.base_url = base_url.rstrip("/")
        self.timeout = timeout
        self._session = requests.Session()

    def call(self, method: str, path: str, body: Any = None, /, **query: Any) -> Any:
        answer = self._session.request(
            method, f"{self.base_url}/_control{path}", json=body, params=query or None, timeout=self.timeout
        )
        data = answer.json()
        if answer.status_code >= 400:
            raise ControlError(answer.status_code, data)
        return data

    def health(self) -> dict:
        return self.call("GET", "/health")

    def systems(self) -> list[dict]:
        return self.call("GET", "/systems")

    def reset(self, systems: list[str] | None = None, *, everything: bool = False) -> dict:
        """Forget records, events, requests and faults; with everything also credentials, webhooks, settings."""
        return self.call("POST", "/reset", {"systems": systems, "everything": everything})

    def seed(self, records: dict[str, dict[str, list[dict]]], *, emit: bool = False) -> dict:
        """``{"crm": {"Account": [{…}]}}`` → ``{"crm": {"Account": [ids]}}``."""
        return self.call("POST", "/seed", {**records, "emit": emit})["seeded"]

    def sink_events(self) -> list[dict]:
        return self.call("GET", "/sink/events")["events"]

    def system(self, name: str) -> "SystemControl":
        return SystemControl(self, name)

    # Shorthands with the system's name first, for tests that touch several systems.

    def records(self, system: str, kind: str, **fields: Any) -> list[dict]:
        return self.system(system).records(kind, **fields)

    def create(self, system: str, kind: str, record: dict) -> dict:
        return self.system(system).create(kind, record)

    def patch(self, system: str, kind: str, id_: str, fields: dict) -> dict:
        return self.system(system).patch(kind, id_, fields)

    def delete(self, system: str, kind: str, id_: str) -> dict:
        return self.system(system).delete(kind, id_)

    def fault(self, system: str, kind: str, **more: Any) -> int:
        return self.system(system).fault(kind, **more)

    def faults(self, system: str) -> list[dict]:
        return self.system(system).faults()

    def clear_faults(self, system: str) -> int:
        return self.system(system).clear_faults()

    def requests(self, system: str, *, since: int = 0, method: str = "", path: str = "") -> list[dict]:
        return self.system(system).requests(since=since, method=method, path=path)

    def webhook(self, system: str, url: str, *, secret: str = "", enabled: bool = True, **more: Any) -> dict:
        return self.system(system).webhook(url, secret=secret, enabled=enabled, **more)

    def hold(self, system: str, held: bool = True) -> dict:
        return self.system(system).hold(held)

    def events(self, system: str) -> list[dict]:
        return self.system(system).events()

    def deliver(self, system: str, event_ids: list[str], *, times: int = 1) -> list[dict]:
        return self.system(system).deliver(event_ids, times=times)

    def lose(self, system: str, event_ids: list[str] | str = "all") -> int:
        return self.system(system).lose(event_ids)

    def credentials(self, system: str, **values: Any) -> dict:
        return self.system(system).credentials(**values)

    def settings(self, system: str, **values: Any) -> dict:
        return self.system(system).settings(**values)

    def schema(self, system: str, **kinds: dict) -> dict:
        return self.system(system).schema(**kinds)

    def expire_tokens(self, system: str) -> int:
        return self.system(system).expire_tokens()

    def pay(self, invoice: str, *, amount: int | None = None, system: str = "billing") -> dict:
        """The customer pays on the hosted page; ``amount`` in minor units, None for all that is due."""
        return self.call("POST", f"/systems/{system}/pay", {"invoice": invoice, "amount": amount})

    def dispute(self, invoice: str, *, system: str = "billing", **more: Any) -> dict:
        """The payer disputes the newest payment of an invoice; ``more``: amount in minor units, reason, status."""
        return self.call("POST", f"/systems/{system}/dispute", {"invoice": invoice, **more})

    def close_dispute(self, dispute: str, *, status: str, system: str = "billing") -> dict:
        """The bank decides: ``won``, ``lost``, ``warning_closed`` or ``prevented``."""
        return self.call("POST", f"/systems/{system}/close_dispute", {"dispute": dispute, "status": status})

    def verify_tax_id(self, customer: str, *, system: str = "billing", **more: Any) -> dict:
        """A register answers about the tax ids of a customer; ``more``: status, name."""
        return self.call("POST", f"/systems/{system}/verify_tax_id", {"customer": customer, **more})


class SystemControl:
    """One emulated system behind the control door."""

    def __init__(self, control: SandboxControl, name: str):
        self._control, self.name = control, name

    def call(self, method: str, path: str, body: Any = None, /, **query: Any) -> Any:
        return self._control.call(method, f"/systems/{self.name}{path}", body, **query)

    def records(self, kind: str, **fields: Any) -> list[dict]:
        """Records whose fields equal the given values (dots reach inside)."""
        return self.call("GET", f"/records/{kind}", **fields)["records"]

    def record(self, kind: str, **fields: Any) -> dict:
        """The only such record; raises LookupError when there is none or more than one."""
        found = self.records(kind, **fields)
        if len(found) != 1:
            raise LookupError(f"{len(found)} {kind} in {self.name} with {fields}")
        return found[0]

    def create(self, kind: str, record: dict) -> dict:
        return self.call("POST", f"/records/{kind}", record)

    def patch(self, kind: str, id_: str, fields: dict) -> dict:
        return self.call("PATCH", f"/records/{kind}/{id_}", fields)

    def delete(self, kind: str, id_: str) -> dict:
        return self.call("DELETE", f"/records/{kind}/{id_}")

    def fault(self, kind: str, *, method: str = "*", path: str = ".*", **more: Any) -> int:
        """Add a fault; ``more``: status, headers, body, seconds, times, skip, url. Returns its id."""
        return self.call(
            "POST", "/faults", {"kind": kind, "match": {"method": method, "path": path}, **more}
        )["id"]

    def faults(self) -> list[dict]:
        return self.call("GET", "/faults")

    def clear_faults(self, fault_id: int | None = None) -> int:
        return self.call("DELETE", "/faults" if fault_id is None else f"/faults/{fault_id}")["removed"]

    def requests(self, *, since: int = 0, method: str = "", path: str = "") -> list[dict]:
        return self.call("GET", "/requests", since=since, method=method, path=path)

    def webhook(self, url: str, *, secret: str = "", enabled: bool = True, **more: Any) -> dict:
        return self.call("PUT", "/webhook", {"url": url, "secret": secret, "enabled": enabled, **more})

    def hold(self, held: bool = True) -> dict:
        return self.call("POST", "/hold", {"held": held})

    def events(self) -> list[dict]:
        return self.call("GET", "/events")["events"]

    def deliver(self, event_ids: list[str], *, times: int = 1) -> list[dict]:
        return self.call("POST", "/deliver", {"event_ids": event_ids, "times": times})["deliveries"]

    def lose(self, event_ids: list[str] | str = "all") -> int:
        return self.call("POST", "/lose", {"event_ids": event_ids})["lost"]

    def credentials(self, **values: Any) -> dict:
        return self.call("POST", "/credentials", values)

    def settings(self, **values: Any) -> dict:
        return self.call("POST", "/settings", values)

    def schema(self, **kinds: dict) -> dict:
        return self.call("POST", "/schema", kinds)

    def expire_tokens(self) -> int:
        return self.call("POST", "/expire_tokens", {})["expired"]

    def wait_for(self, read: Callable[["SystemControl"], Any], *, seconds: float = 10.0) -> Any:
        """Poll until ``read`` gives something true, and return that; TimeoutError after ``seconds``."""
        deadline = time.monotonic() + seconds
        while True:
            found = read(self)
            if found:
                return found
            if time.monotonic() > deadline:
                raise TimeoutError(f"{self.name}: not seen within {seconds} s")
            time.sleep(0.02)
