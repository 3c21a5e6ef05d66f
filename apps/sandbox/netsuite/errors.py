"""NetSuite's error answers. Public surface: refuse, body, rule."""

from typing import NoReturn

from ..core.http import Refusal, Response

TITLES = {
    400: ("Bad Request", "section-15.5.1"),
    401: ("Unauthorized", "section-15.5.2"),
    403: ("Forbidden", "section-15.5.4"),
    404: ("Not Found", "section-15.5.5"),
    405: ("Method Not Allowed", "section-15.5.6"),
    409: ("Conflict", "section-15.5.10"),
    429: ("Too Many Requests", "section-4"),
    500: ("Internal Server Error", "section-15.6.1"),
    503: ("Service Unavailable", "section-15.6.4"),
}


def body(status: int, code: str, detail: str, *, path: str = "", title: str = "", **more) -> dict:
    name, section = TITLES.get(status, ("Error", "section-15"))
    entry = {"detail": detail, "o:errorCode": code, **more}
    if path:
        entry["o:errorPath"] = path
    return {
        "type": f"https://www.rfc-editor.org/rfc/rfc9110.html#{section}",
        "title": title or name,
        "status": status,
        "o:errorDetails": [entry],
    }


def answer(status: int, code: str, detail: str, **more) -> Response:
    kind = "application/vnd.oracle.resource+json; type=error; charset=UTF-8"
    return Response(status, body(status, code, detail, **more), content_type=kind)


def refuse(status: int, code: str, detail: str, **more) -> NoReturn:
    raise Refusal(answer(status, code, detail, **more))


def rule(code: str, text: str, *, path: str = "") -> NoReturn:
    """A business rule: HTTP 400 with USER_ERROR, its own code only named in the detail."""
    refuse(400, "USER_ERROR", f"Error while accessing a resource. {code}: {text}", path=path)
