"""Money: an exact amount with its ISO 4217 currency.

Public surface: :class:`Money`, :func:`minor_unit_exponent`, :func:`total`.

Amounts travel as strings (JSON numbers are binary floats and lose cents); arithmetic between currencies raises.
Source of exponents: ISO 4217 list one, as kept by py-moneyed (JPY 0, EUR 2, KWD 3).
"""

from __future__ import annotations

from collections.abc import Iterable
from decimal import ROUND_HALF_UP, Decimal
from typing import Annotated, Any

from moneyed import CURRENCIES
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, WithJsonSchema, model_validator


class CurrencyMismatch(ValueError):
    """Two amounts of different currencies met in one sum."""


def _refuse_float(value: Any) -> Any:
    if isinstance(value, bool | float):
        raise ValueError("send decimals as strings: a JSON number is a binary float and may lose cents")
    return value


def _finite(value: Decimal) -> Decimal:
    if not value.is_finite():
        raise ValueError("the number must be finite")
    return value


def _known_currency(value: str) -> str:
    if value not in CURRENCIES:
        raise ValueError(f"{value!r} is not an ISO 4217 currency code")
    return value


#: A decimal that refuses binary floats, NaN and infinities.
ExactDecimal = Annotated[Decimal, BeforeValidator(_refuse_float), AfterValidator(_finite)]
#: A three-letter ISO 4217 code.
CurrencyCode = Annotated[
    str, AfterValidator(_known_currency), WithJsonSchema({"type": "string", "pattern": "^[A-Z]{3}$"})
]


def minor_unit_exponent(currency: str) -> int:
    """Decimal places of a currency (ISO 4217): ``JPY`` 0, ``EUR`` 2, ``KWD`` 3. Raises ``KeyError`` if unknown."""
    return len(str(CURRENCIES[currency].sub_unit)) - 1


class Money(BaseModel):
    """``{"amount": "1250.00", "currency": "EUR"}``; never more decimals than the currency has."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    amount: ExactDecimal
    currency: CurrencyCode

    @model_validator(mode="after")
    def _fits_currency(self) -> Money:
        exponent = minor_unit_exponent(self.currency)
        if self.amount != self.amount.quantize(Decimal(1).scaleb(-exponent)):
            raise ValueError(f"{self.currency} has {exponent} decimal places; {self.amount} has more")
        if abs(self.amount) >= Decimal("1e15"):
            raise ValueError("the amount is too large")
        return self

    @classmethod
    def of(cls, amount: Decimal | int | str, currency: str) -> Money:
        """The amount rounded half-up to the currency's minor unit."""
        exponent = minor_unit_exponent(_known_currency(currency))
        rounded = Decimal(amount).quantize(Decimal(1).scaleb(-exponent), rounding=ROUND_HALF_UP)
        return cls(amount=rounded, currency=currency)

    @classmethod
    def from_minor(cls, minor: int, currency: str) -> Money:
        """From an integer of minor units (cents), as card platforms send it."""
        return cls(amount=Decimal(minor).scaleb(-minor_unit_exponent(currency)), currency=currency)

    @property
    def minor(self) -> int:
        """The amount in integer minor units."""
        return int(self.amount.scaleb(minor_unit_exponent(self.currency)))

    def __add__(self, other: Money) -> Money:
        if other.currency != self.currency:
            raise CurrencyMismatch(f"cannot add {other.currency} to {self.currency}")
        return Money.of(self.amount + other.amount, self.currency)

    def __sub__(self, other: Money) -> Money:
        return self + Money(amount=-other.amount, currency=other.currency)

    def __str__(self) -> str:
        return f"{self.currency} {self.amount:,.{minor_unit_exponent(self.currency)}f}"


def total(amounts: Iterable[Money], currency: str) -> Money:
    """Sum of amounts that must all be of ``currency``; an empty sum is zero."""
    result = Money.of(0, currency)
    for amount in amounts:
        result = result + amount
    return result
