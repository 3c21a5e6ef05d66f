"""Salesforce's error answers: a JSON array of message, errorCode and fields. Public surface: refuse, error."""

from typing import NoReturn

from ..core.http import Refusal, Response


def error(code: str, message: str, fields: list[str] | None = None, **more) -> dict:
    entry = {"message": message, "errorCode": code, **more}
    if fields is not None:
        entry["fields"] = fields
    return entry


def refuse(status: int, code: str, message: str, fields: list[str] | None = None, **more) -> NoReturn:
    raise Refusal(Response(status, [error(code, message, fields, **more)]))
