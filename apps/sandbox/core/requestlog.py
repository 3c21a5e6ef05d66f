"""What was asked and answered, without secrets. Public surface: RequestLog (record, read)."""

import json
import re

from .clock import stamp
from .http import Request, Response
from .store import Store

KEPT = 200_000
BODY_LIMIT = 65_536
SECRET_HEADERS = {"authorization", "proxy-authorization", "cookie", "x-api-key"}
SECRET_FIELD = re.compile(r"((?:client_secret|client_assertion|assertion|password|refresh_token|code)=)[^&]*")
SECRET_JSON = re.compile(r'("(?:access_token|refresh_token|client_secret|signature)"\s*:\s*")[^"]*')


def _text(body: bytes) -> str:
    text = body[:BODY_LIMIT].decode("utf-8", "replace")
    text = SECRET_FIELD.sub(r"\1[removed]", text) if "=" in text[:4000] else text
    return SECRET_JSON.sub(r"\1[removed]", text)


def _decoded(text: str):
    try:
        return json.loads(text) if text else None
    except ValueError:
        return text


class RequestLog:
    def __init__(self, store: Store):
        self._store = store

    def record(
        self, system: str, request: Request, response: Response | None, *, at: str, fault: str = ""
    ) -> None:
        """Append one row; a response of None says that the client never got an answer."""
        seq = self._store.counter("request")
        headers = {k: v for k, v in request.headers.items() if k not in SECRET_HEADERS}
        correlation = request.header("x-correlation-id") or request.header("x-request-id")
        key = request.header("idempotency-key") or request.header("x-netsuite-idempotency-key")
        self._store.execute(
            "INSERT INTO requests VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?)",
            (
                seq,
                system,
                at or stamp(),
                request.method,
                request.path,
                request.query_string,
                response.status if response else None,
                correlation,
                key,
                json.dumps(headers),
                _text(request.body),
                _text(response.encoded()) if response else None,
                fault,
            ),
        )
        if seq % 5000 == 0:
            self._store.execute("DELETE FROM requests WHERE seq < ?", (seq - KEPT,))

    def read(
        self, system: str, *, since: int = 0, method: str = "", path: str = "", limit: int = 100_000
    ) -> list:
        """Rows after ``since`` in order of arrival of their answer; path is a regular expression."""
        rows = self._store.query(
            "SELECT seq, at, method, path, query, status, correlation_id, idempotency_key, headers, body, response, "
            "fault FROM requests WHERE system = ? AND seq > ? ORDER BY seq LIMIT ?",
            (system, since, limit),
        )
        pattern = re.compile(path) if path else None
        names = ("seq", "at", "method", "path", "query", "status", "correlation_id", "idempotency_key")
        result = []
        for row in rows:
            if (method and row[2] != method.upper()) or (pattern and not pattern.search(row[3])):
                continue
            entry = dict(zip(names, row[:8], strict=True))
            entry["headers"] = json.loads(row[8])
            entry["body"], entry["response"] = _decoded(row[9]), _decoded(row[10] or "")
            entry["fault"] = row[11]
            result.append(entry)
        return result
