"""Webhooks that emulated vendors send: a durable queue and one sending thread a system.

Vendors wait hours between tries; here the schedule is the same shape in seconds, so that a test sees it.
Public surface: Outgoing (enqueue, hold, deliver, lose, entries, start, stop), standard_webhook_headers.
"""

import base64
import hashlib
import hmac
import http.client
import json
import threading
import time
from collections.abc import Callable
from urllib.parse import urlsplit

from .clock import stamp
from .store import Store

RETRY_SECONDS = (1, 2, 4, 8, 15, 30, 60, 60, 60, 60)
SEND_TIMEOUT = 15


def standard_webhook_headers(
    secret: str, event_id: str, body: bytes, *, at: int | None = None
) -> dict[str, str]:
    """Headers of the Standard Webhooks specification 1.0 (standardwebhooks.com), symmetric ``whsec_`` secret."""
    moment = int(time.time()) if at is None else at
    key = base64.b64decode(secret.removeprefix("whsec_"))
    signed = f"{event_id}.{moment}.".encode() + body
    signature = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    return {"webhook-id": event_id, "webhook-timestamp": str(moment), "webhook-signature": f"v1,{signature}"}


def post(url: str, body: bytes, headers: dict[str, str], timeout: float = SEND_TIMEOUT) -> tuple[int, str]:
    """One POST without redirects: status and the first 500 characters of the answer. Raises OSError family."""
    parts = urlsplit(url)
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    connection = kind(parts.hostname, parts.port, timeout=timeout)
    try:
        target = parts.path or "/"
        if parts.query:
            target += f"?{parts.query}"
        connection.request("POST", target, body=body, headers=headers)
        answer = connection.getresponse()
        return answer.status, answer.read(2000).decode("utf-8", "replace")[:500]
    except http.client.HTTPException as error:
        raise ConnectionError(f"{type(error).__name__}: {error}") from error
    finally:
        connection.close()


class Outgoing:
    """Queue and sender of one system. ``sign(secret, event_id, body)`` gives the vendor's headers."""

    def __init__(self, store: Store, system: str, sign: Callable[[str, str, bytes], dict[str, str]]):
        self._store, self._system, self._sign = store, system, sign
        self._wake = threading.Event()
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    @property
    def webhook(self) -> dict:
        return self._store.setting(self._system, "webhook", {}) or {}

    @property
    def held(self) -> bool:
        return bool(self._store.setting(self._system, "held", False))

    def enqueue(self, event_id: str, kind: str, body: dict) -> None:
        """Inside the unit of work that made the news."""
        wanted = self.webhook.get("enabled") and self.webhook.get("url")
        kinds = self.webhook.get("types")
        if kinds and kind not in kinds:
            wanted = False
        state = ("held" if self.held else "pending") if wanted else "unrouted"
        self._store.execute(
            "INSERT INTO events (system, id, type, json, state, due, created) VALUES (?,?,?,?,?,?,?)",
            (self._system, event_id, kind, json.dumps(body), state, time.time(), stamp()),
        )
        self._store.after_commit(self._wake.set)

    def hold(self, held: bool) -> None:
        self._store.set_setting(self._system, "held", held)
        if not held:
            self._store.execute(
                "UPDATE events SET state='pending', due=? WHERE system=? AND state='held'",
                (time.time(), self._system),
            )
            self._wake.set()

    def entries(self) -> list[dict]:
        rows = self._store.query(
            "SELECT seq, id, type, json, state, attempts, created, log FROM events WHERE system=? ORDER BY seq",
            (self._system,),
        )
        return [
            {
                "seq": s,
                "id": i,
                "type": t,
                "body": json.loads(b),
                "state": st,
                "attempts": a,
                "created": c,
                "deliveries": json.loads(log),
            }
            for s, i, t, b, st, a, c, log in rows
        ]

    def deliver(self, event_ids: list[str], times: int = 1) -> list[dict]:
        """Send now, in the given order, each as often as asked; waits for the answers."""
        results = []
        for event_id in event_ids:
            for _ in range(times):
                rows = self._store.query(
                    "SELECT seq, id, json, attempts, log FROM events WHERE system=? AND id=?",
                    (self._system, event_id),
                )
                if not rows:
                    results.append({"event_id": event_id, "status": None, "error": "no such event"})
                    continue
                results.append({"event_id": event_id, **self._send(*rows[0], retry=False)})
        return results

    def lose(self, event_ids: list[str] | str) -> int:
        """Drop for good what is not delivered yet."""
        if event_ids == "all":
            return self._store.execute(
                "UPDATE events SET state='lost' WHERE system=? AND state IN ('pending','held')",
                (self._system,),
            ).rowcount
        return sum(
            self._store.execute(
                "UPDATE events SET state='lost' WHERE system=? AND id=?", (self._system, i)
            ).rowcount
            for i in event_ids
        )

    def start(self) -> None:
        self._thread = threading.Thread(target=self._run, name=f"outgoing-{self._system}", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        self._wake.set()

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._wake.clear()
            due = self._store.query(
                "SELECT seq, id, json, attempts, log FROM events WHERE system=? AND state='pending' AND due<=? "
                "ORDER BY seq LIMIT 20",
                (self._system, time.time()),
            )
            for row in due:
                if self._stopping.is_set():
                    return
                still = self._store.query("SELECT 1 FROM events WHERE seq=? AND state='pending'", (row[0],))
                if still:
                    self._send(*row, retry=True)
            if not due:
                self._wake.wait(0.25)

    def _send(self, seq: int, event_id: str, text: str, attempts: int, log: str, *, retry: bool) -> dict:
        webhook = self.webhook
        entry: dict = {"at": stamp(), "status": None, "error": ""}
        body = text.encode()
        if not webhook.get("url"):
            entry["error"] = "no webhook url is set"
        else:
            headers = {"Content-Type": "application/json", "User-Agent": "pssync-sandbox/1"}
            headers |= self._sign(webhook.get("secret") or "", event_id, body)
            try:
                entry["status"], entry["response"] = post(webhook["url"], body, headers)
            except OSError as error:
                entry["error"] = f"{type(error).__name__}: {error}"
        good = entry["status"] is not None and 200 <= entry["status"] < 300
        attempts += 1
        state, due = ("delivered" if good else "pending"), time.time()
        if not good:
            if attempts > len(RETRY_SECONDS):
                state = "failed"
            else:
                due += RETRY_SECONDS[attempts - 1]
        entries = json.dumps([*json.loads(log), entry])
        if good or retry:
            # An event lost or held while it was on its way stays so.
            self._store.execute(
                "UPDATE events SET attempts=?, log=?, due=?, state=CASE WHEN ?='delivered' OR state='pending' "
                "THEN ? ELSE state END WHERE seq=?",
                (attempts, entries, due, state, state, seq),
            )
        else:
            self._store.execute("UPDATE events SET attempts=?, log=? WHERE seq=?", (attempts, entries, seq))
        return entry
