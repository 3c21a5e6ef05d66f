"""A request, an answer and a router: the little of HTTP that the emulated systems need.

Public surface: Request, Response, Refusal, Router.
"""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, unquote


class Refusal(Exception):
    """Raised anywhere inside a handler to answer with this response; the unit of work is rolled back."""

    def __init__(self, response: "Response"):
        super().__init__(f"{response.status}")
        self.response = response


@dataclass
class Request:
    """One HTTP request. Header names are lower-case; ``query`` keeps the last value of a key."""

    method: str
    path: str
    query_string: str
    headers: dict[str, str]
    body: bytes = b""
    port: int = 0
    query: dict[str, str] = field(default_factory=dict)
    context: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self):
        if not self.query and self.query_string:
            self.query = dict(parse_qsl(self.query_string, keep_blank_values=True))

    @property
    def query_items(self) -> list[tuple[str, str]]:
        return parse_qsl(self.query_string, keep_blank_values=True)

    def header(self, name: str, default: str = "") -> str:
        return self.headers.get(name.lower(), default)

    def json(self) -> Any:
        """The body as JSON (None when empty). Raises ValueError on nonsense."""
        return json.loads(self.body) if self.body.strip() else None

    def form(self) -> list[tuple[str, str]]:
        """The body as form pairs, in order."""
        return parse_qsl(self.body.decode("utf-8", "replace"), keep_blank_values=True)


@dataclass
class Response:
    """One answer: ``data`` becomes JSON unless it is bytes or None (no body)."""

    status: int = 200
    data: Any = None
    headers: dict[str, str] = field(default_factory=dict)
    content_type: str = "application/json;charset=UTF-8"

    def encoded(self) -> bytes:
        if self.data is None or self.status in (204, 304):
            return b""
        if isinstance(self.data, bytes):
            return self.data
        return json.dumps(self.data, default=str).encode()


class Router:
    """Routes by method and path template, e.g. ``/v1/customers/{id}``; ``{rest*}`` swallows slashes."""

    def __init__(self):
        self._routes: list[tuple[str, re.Pattern, Callable]] = []

    def add(self, methods: str, template: str, handler: Callable) -> None:
        pattern = re.sub(r"\{(\w+)\*\}", r"(?P<\1>.+)", template)
        pattern = re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", pattern)
        compiled = re.compile(f"^{pattern}/?$")
        for method in methods.split("|"):
            self._routes.append((method, compiled, handler))

    def match(self, method: str, path: str) -> tuple[Callable | None, dict[str, str], bool]:
        """The handler, its path arguments, and whether the path exists for another method."""
        known = False
        for route_method, pattern, handler in self._routes:
            found = pattern.match(path)
            if found:
                if route_method == method:
                    return handler, {k: unquote(v) for k, v in found.groupdict().items()}, True
                known = True
        return None, {}, known
