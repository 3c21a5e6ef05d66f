"""Stripe's error answers. Public surface: refuse, error, invalid."""

from typing import NoReturn

from ..core.http import Refusal, Response


def error(status: int, kind: str, message: str, *, code: str = "", param: str = "") -> Response:
    body = {"type": kind, "message": message}
    if code:
        body |= {"code": code, "doc_url": f"https://stripe.com/docs/error-codes/{code.replace('_', '-')}"}
    if param:
        body["param"] = param
    return Response(status, {"error": body}, content_type="application/json")


class ValidationRefusal(Refusal):
    """Refused before the endpoint began to execute: an idempotency key stays unused."""


def refuse(
    status: int, message: str, *, code: str = "", param: str = "", kind: str = "invalid_request_error"
) -> NoReturn:
    raise Refusal(error(status, kind, message, code=code, param=param))


def invalid(message: str, *, code: str = "", param: str = "") -> NoReturn:
    raise ValidationRefusal(error(400, "invalid_request_error", message, code=code, param=param))
