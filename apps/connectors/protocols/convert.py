"""From vendors' values to canonical ones, with errors that name the field.

Public surface: :func:`built`, :func:`decimal`, :func:`money`, :func:`day`, :func:`instant`, :func:`refused`,
:func:`texts`.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime
from decimal import Decimal, InvalidOperation
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from apps.canonical.money import Money, minor_unit_exponent
from apps.connectors.spi import AdapterError, ErrorKind

T = TypeVar("T", bound=BaseModel)


def refused(message: str, *, field: str, value: Any, code: str = "") -> AdapterError:
    """The record as the vendor holds it cannot be understood; a person has to correct it there."""
    return AdapterError(ErrorKind.REJECTED, message, code=code, field=field, value=str(value)[:200])


def built(cls: type[T], what: str, *, code: str = "", **values: Any) -> T:
    """``cls(**values)``; a value it does not take becomes ``REJECTED`` with the field and the value named."""
    try:
        return cls(**values)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        field = ".".join(str(part) for part in first["loc"])
        raise refused(
            f"{what}: {field or 'the record'} cannot be used ({first['msg']}).",
            field=field,
            value=first.get("input"),
            code=code,
        ) from error


def decimal(value: Any, *, field: str) -> Decimal | None:
    """A decimal from text or an integer; None stays None."""
    if value is None or value == "":
        return None
    try:
        number = Decimal(str(value))
    except InvalidOperation:
        raise refused(f"{field} is not a number: {value}", field=field, value=value) from None
    if not number.is_finite():
        raise refused(f"{field} is not a finite number.", field=field, value=value)
    return number


def money(value: Any, currency: str, *, field: str, rounded: bool = False) -> Money | None:
    """An amount; more decimals than the currency has are refused, or ``rounded`` half-up where prices may have them."""
    number = decimal(value, field=field)
    if number is None:
        return None
    try:
        places = minor_unit_exponent(currency)
    except KeyError:
        raise refused(f"“{currency}” is not a currency we know.", field="currency", value=currency) from None
    if not rounded and number != round(number, places):
        raise refused(
            f"{field}: {currency} has {places} decimals, {value} has more.", field=field, value=value
        )
    try:
        return Money.of(number, currency)
    except ValidationError as error:
        raise refused(f"{field} is not an amount in {currency}: {value}", field=field, value=value) from error


def day(value: Any, *, field: str) -> date | None:
    """``2026-11-23`` (a time behind it is ignored)."""
    if not value:
        return None
    try:
        return date.fromisoformat(str(value)[:10])
    except ValueError:
        raise refused(f"{field} is not a date: {value}", field=field, value=value) from None


def instant(value: Any, *, field: str) -> datetime | None:
    """An ISO 8601 instant or Unix seconds, as aware UTC; without a zone it counts as UTC."""
    if value in (None, ""):
        return None
    try:
        if isinstance(value, int):
            return datetime.fromtimestamp(value, tz=UTC)
        found = datetime.fromisoformat(str(value))
    except (ValueError, OverflowError, OSError):
        raise refused(f"{field} is not a time: {value}", field=field, value=value) from None
    return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)


def texts(source: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, str]:
    """``{ours: theirs}`` names to text values; what is missing or null becomes ""."""
    return {ours: str(source.get(theirs) or "").strip() for ours, theirs in names.items()}
