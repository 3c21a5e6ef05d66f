"""Whether a tax id is one: its form, its check digits, and that it is of the country it is said to be of.

Public surface: :func:`fault`. Nobody is asked over the network; whether an id is registered and active is another question.
Sources: python-stdnum (``eu.vat``, ``gb.vat``, ``us.ein``, ``ch.uid``, ``no.mva``); the prefixes of Council Directive
2006/112/EC, article 215: ISO 3166-1, but Greece writes ``EL``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from stdnum.ch import uid as ch_uid
from stdnum.eu import vat as eu_vat
from stdnum.exceptions import ValidationError
from stdnum.gb import vat as gb_vat
from stdnum.no import mva as no_mva
from stdnum.us import ein as us_ein

EU = frozenset(
    {
        "AT", "BE", "BG", "CY", "CZ", "DE", "DK", "EE", "ES", "FI", "FR", "GR", "HR", "HU", "IE", "IT", "LT", "LU", "LV", "MT",
        "NL", "PL", "PT", "RO", "SE", "SI", "SK",
    }
)  # fmt: skip
_CHECKS: Mapping[str, Callable[[str], str]] = {
    "GB": gb_vat.validate,
    "US": us_ein.validate,
    "CH": ch_uid.validate,
    "NO": no_mva.validate,
} | dict.fromkeys(EU, eu_vat.validate)
_GREECE = "EL"


def fault(country: str, tax_id: str) -> str:
    """What is wrong with the id for this country (ISO 3166-1 alpha-2), as the end of a sentence; "" when nothing is.

    An empty id, or one of a country whose form is not known here, has no fault."""
    check = _CHECKS.get(country)
    if not tax_id.strip() or check is None:
        return ""
    if country in EU:
        expected = _GREECE if country == "GR" else country
        prefix = re.sub(r"[^A-Z0-9]", "", tax_id.upper())[:2]
        if prefix.isalpha() and prefix != expected:
            return f"a VAT id of {country} begins with {expected}, not with {prefix}"
    try:
        check(tax_id)
    except ValidationError as error:
        return str(error).rstrip(".").lower()
    return ""
