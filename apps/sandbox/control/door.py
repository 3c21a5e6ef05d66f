"""JSON over the base port: seed, records, faults, requests, webhooks, credentials. See docs/sandbox.md.

Public surface: ControlDoor.handle.
"""

from typing import Any

from ..core import auth
from ..core.clock import stamp
from ..core.http import Refusal, Request, Response, Router
from ..core.systems import NoSuchRecord, System


class ControlDoor:
    def __init__(self, sandbox):
        self._sandbox = sandbox
        self._router = router = Router()
        one = "/_control/systems/{name}"
        router.add("GET", "/_control/health", self._health)
        router.add("GET", "/_control/systems", self._systems)
        router.add("POST", "/_control/reset", self._reset)
        router.add("POST", "/_control/seed", self._seed)
        router.add("GET", "/_control/sink/events", self._sink)
        router.add("GET", one + "/types", self._types)
        router.add("GET", one + "/records/{kind}", self._records)
        router.add("POST", one + "/records/{kind}", self._create)
        router.add("PATCH", one + "/records/{kind}/{id}", self._change)
        router.add("DELETE", one + "/records/{kind}/{id}", self._remove)
        router.add("GET", one + "/faults", self._faults)
        router.add("POST", one + "/faults", self._add_fault)
        router.add("DELETE", one + "/faults", self._drop_faults)
        router.add("DELETE", one + "/faults/{id}", self._drop_faults)
        router.add("GET", one + "/requests", self._requests)
        router.add("PUT", one + "/webhook", self._webhook)
        router.add("POST", one + "/hold", self._hold)
        router.add("GET", one + "/events", self._events)
        router.add("POST", one + "/deliver", self._deliver)
        router.add("POST", one + "/lose", self._lose)
        router.add("POST", one + "/credentials", self._credentials)
        router.add("POST", one + "/settings", self._settings)
        router.add("POST", one + "/schema", self._schema)
        router.add("POST", one + "/expire_tokens", self._expire_tokens)
        router.add("POST", one + "/{action}", self._action)

    def handle(self, request: Request) -> Response:
        handler, arguments, known = self._router.match(request.method, request.path)
        if handler is None:
            return Response(405 if known else 404, {"error": f"no {request.method} {request.path} here"})
        try:
            body = request.json()
            if "name" in arguments:
                name = arguments.pop("name")
                if name not in self._sandbox.systems:
                    return Response(404, {"error": f"no system {name}"})
                arguments["system"] = self._sandbox.systems[name]
            return Response(200, handler(request=request, body=body or {}, **arguments))
        except NoSuchRecord as error:
            return Response(404, {"error": str(error)})
        except ValueError as error:
            return Response(400, {"error": str(error)})
        except Refusal as refusal:
            return Response(
                422,
                {
                    "error": "the vendor refused",
                    "vendor_status": refusal.response.status,
                    "vendor_answer": refusal.response.data,
                },
            )

    # -- whole sandbox ---------------------------------------------------------------------------

    def _health(self, *, request, body) -> dict:
        return {"status": "ok", "at": stamp(), "base_port": self._sandbox.base_port}

    def _systems(self, *, request, body) -> list:
        return [
            {"name": s.name, "vendor": s.vendor_name, "account": s.account, "base_url": s.base_url}
            for s in self._sandbox.systems.values()
        ]

    def _reset(self, *, request, body) -> dict:
        names = body.get("systems") or list(self._sandbox.systems)
        for name in names:
            if name not in self._sandbox.systems:
                raise ValueError(f"no system {name}")
        for name in names:
            self._sandbox.faults.remove(name)
            self._sandbox.systems[name].reset(everything=bool(body.get("everything")))
        return {"reset": names}

    def _seed(self, *, request, body) -> dict:
        emit = bool(body.pop("emit", False))
        made: dict[str, dict[str, list[str]]] = {}
        with self._sandbox.store.transaction():
            for name, kinds in body.items():
                if name not in self._sandbox.systems:
                    raise ValueError(f"no system {name}")
                vendor = self._sandbox.systems[name].vendor
                for kind, records in kinds.items():
                    ids = [_id(vendor.put(kind, record, emit=emit)) for record in records]
                    made.setdefault(name, {})[kind] = ids
        return {"seeded": made}

    def _sink(self, *, request, body) -> dict:
        return self._sandbox.systems["sink"].vendor.events()

    # -- records ---------------------------------------------------------------------------------

    def _types(self, *, request, body, system: System) -> dict:
        return {kind: system.store.count(system.name, kind) for kind in system.store.kinds(system.name)}

    def _records(self, *, request, body, system: System, kind: str) -> dict:
        wanted = request.query
        found = [doc for doc in system.all(kind) if all(_same(_path(doc, k), v) for k, v in wanted.items())]
        return {"count": len(found), "records": found}

    def _create(self, *, request, body, system: System, kind: str) -> dict:
        with system.store.transaction():
            return system.vendor.put(kind, body, emit=True)

    def _change(self, *, request, body, system: System, kind: str, id: str) -> dict:
        with system.store.transaction():
            return system.vendor.change(kind, id, body, emit=True)

    def _remove(self, *, request, body, system: System, kind: str, id: str) -> dict:
        with system.store.transaction():
            system.vendor.remove(kind, id, emit=True)
        return {"deleted": id}

    # -- faults and the log ----------------------------------------------------------------------

    def _faults(self, *, request, body, system: System) -> list:
        return [fault.describe() for fault in self._sandbox.faults.entries(system.name)]

    def _add_fault(self, *, request, body, system: System) -> dict:
        return {"id": self._sandbox.faults.add(system.name, body).id}

    def _drop_faults(self, *, request, body, system: System, id: str | None = None) -> dict:
        removed = self._sandbox.faults.remove(system.name, int(id) if id else None)
        if id and not removed:
            raise NoSuchRecord(f"no fault {id}")
        return {"removed": removed}

    def _requests(self, *, request, body, system: System) -> list:
        query = request.query
        return self._sandbox.log.read(
            system.name,
            since=int(query.get("since") or 0),
            method=query.get("method", ""),
            path=query.get("path", ""),
        )

    # -- outgoing webhooks -----------------------------------------------------------------------

    def _webhook(self, *, request, body, system: System) -> dict:
        if not system.vendor.pushes:
            raise ValueError(f"{system.name} sends no webhooks")
        if not body.get("url"):
            raise ValueError("url is needed")
        webhook = {"enabled": True, "secret": "", **body}
        system.store.set_setting(system.name, "webhook", webhook)
        return {key: value for key, value in webhook.items() if key != "secret"}

    def _hold(self, *, request, body, system: System) -> dict:
        system.outgoing.hold(bool(body.get("held")))
        return {"held": system.outgoing.held}

    def _events(self, *, request, body, system: System) -> dict:
        events = system.outgoing.entries()
        return {"count": len(events), "events": events}

    def _deliver(self, *, request, body, system: System) -> dict:
        results = system.outgoing.deliver(list(body.get("event_ids") or []), int(body.get("times") or 1))
        return {"deliveries": results}

    def _lose(self, *, request, body, system: System) -> dict:
        return {"lost": system.outgoing.lose(body.get("event_ids") or [])}

    # -- administration --------------------------------------------------------------------------

    def _credentials(self, *, request, body, system: System) -> dict:
        """Merged over what is there. NetSuite: several ``kid`` may be registered one after the other."""
        credentials = dict(system.credentials)
        pem = body.get("certificate") or body.get("public_key")
        if body.get("kid") and pem:
            credentials["certificates"] = {**credentials.get("certificates", {}), body["kid"]: pem}
        if pem:
            try:
                auth.public_key(pem)
            except ValueError as error:
                raise ValueError(f"no PEM certificate or public key: {error}") from error
        credentials.update(body)
        system.store.set_setting(system.name, "credentials", credentials)
        return {"set": sorted(body)}

    def _settings(self, *, request, body, system: System) -> dict:
        settings = {**system.store.setting(system.name, "settings", {}), **body}
        system.store.set_setting(system.name, "settings", settings)
        return settings

    def _schema(self, *, request, body, system: System) -> dict:
        system.vendor.define(body)
        return {"defined": {kind: sorted(fields) for kind, fields in body.items()}}

    def _expire_tokens(self, *, request, body, system: System) -> dict:
        system.vendor.expire()
        return {"expired": auth.expire(system.store, system.name)}

    def _action(self, *, request, body, system: System, action: str) -> Any:
        with system.store.transaction():
            result = system.vendor.action(action, body)
        if result is None:
            raise NoSuchRecord(f"{system.name} has no action {action}")
        return result


def _id(doc: dict) -> str:
    return str(doc.get("Id") or doc.get("id"))


def _path(doc: Any, path: str) -> Any:
    if isinstance(doc, dict) and path in doc:
        return doc[path]
    for part in path.split("."):
        if isinstance(doc, list) and part.isdigit() and int(part) < len(doc):
            doc = doc[int(part)]
        elif isinstance(doc, dict):
            doc = doc.get(part)
        else:
            return None
    return doc


def _same(value: Any, wanted: str) -> bool:
    if value is None:
        return wanted in ("", "null")
    if isinstance(value, bool):
        return wanted.lower() in (("true", "1", "t") if value else ("false", "0", "f"))
    return str(value) == wanted
