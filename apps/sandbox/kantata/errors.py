"""Kantata's error answers: ``{"errors": [{"type", "message", "field"}]}``. Public surface: refuse, error."""

from typing import NoReturn

from ..core.http import Refusal, Response


def error(status: int, kind: str, message: str, field: str = "") -> Response:
    entry = {"type": kind, "message": message}
    if field:
        entry["field"] = field
    return Response(status, {"errors": [entry]})


def refuse(message: str, field: str = "", *, status: int = 422, kind: str = "validation") -> NoReturn:
    raise Refusal(error(status, kind, message, field))
