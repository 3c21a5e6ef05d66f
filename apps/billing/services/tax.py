"""Which tax treatment goes on an invoice. The ERP is the issuer and computes the tax; we pass its code.

Public surface: :class:`TaxDecision`, :func:`decide_tax`. Pure: no queries.

Simple rules: an exempt customer is ``exempt`` and needs a certificate that has not ended; customer and legal entity in one
country is ``standard``; another country of the VAT area (EU, GB, CH, NO) is ``reverse_charge`` and needs a VAT id that is
well-formed (python-stdnum; the register itself is not asked); any other country is ``out_of_scope``. Codes come from the
routing settings of the entity's ERP, ``{"tax": {"standard": {"code": "S-GB", "rate": "20"}, …}}``, or else from a mapping of
the treatment (kind ``tax_code``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal, InvalidOperation
from typing import Any

from django.utils.translation import gettext as _
from stdnum.exceptions import ValidationError
from stdnum.util import get_cc_module

from apps.canonical.objects import Customer

# fmt: off
EU = frozenset([
    "AT", "BE", "BG", "CY", "CZ", "DE", "DK", "EE", "ES", "FI", "FR", "GR", "HR", "HU", "IE", "IT", "LT", "LU", "LV",
    "MT", "NL", "PL", "PT", "RO", "SE", "SI", "SK",
])
# fmt: on
VAT_AREA = EU | {"GB", "CH", "NO"}


@dataclass(frozen=True)
class TaxDecision:
    """``code`` "" with ``problem_code`` set means that nothing may be invoiced before somebody settles it."""

    treatment: str
    code: str = ""
    rate: Decimal = Decimal(0)
    evidence: str = ""
    problem_code: str = ""
    reason: str = ""


def decide_tax(
    *,
    customer: Customer,
    entity_country: str,
    settings: Mapping[str, Any],
    on: date,
    mapped: Mapping[str, str] | None = None,
) -> TaxDecision:
    """The treatment for this customer at this entity; problems are ``CUS-ADDRESS``, ``TAX-RC``, ``TAX-EXEMPT``
    and ``TAX-CODE``. ``on``: the day that an exemption has to hold for.

    ``mapped``: treatment → tax code by a mapping, used where the settings are silent."""
    country = customer.billing_address.country
    codes = _Codes(settings.get("tax") or {}, mapped or {})
    if customer.tax_exempt:
        lacking = _no_certificate(customer, on)
        if lacking:
            return TaxDecision("exempt", problem_code="TAX-EXEMPT", reason=lacking)
        evidence = _("Exemption certificate %(number)s.") % {"number": customer.exemption_certificate}
        return codes.decide("exempt", evidence=evidence)
    if not country:
        reason = _("The bill-to address of %(name)s has no country, so its tax cannot be told.") % {
            "name": customer.name
        }
        return TaxDecision("standard", problem_code="CUS-ADDRESS", reason=reason)
    if country == entity_country:
        return codes.decide("standard")
    if country in VAT_AREA and entity_country in VAT_AREA:
        evidence = _vat_evidence(customer.tax_id, country)
        if not evidence:
            reason = _(
                "%(name)s is in %(country)s, so it accounts for the VAT itself; that needs a valid VAT id, not “%(id)s”."
            ) % {"name": customer.name, "country": country, "id": customer.tax_id or _("none")}
            return TaxDecision("reverse_charge", problem_code="TAX-RC", reason=reason)
        return codes.decide("reverse_charge", evidence=evidence)
    return codes.decide("out_of_scope")


def _no_certificate(customer: Customer, on: date) -> str:
    """Why the exemption does not hold on this day, "" when it does."""
    if not customer.exemption_certificate:
        return _("%(name)s is recorded as tax exempt, and no exemption certificate is on file.") % {
            "name": customer.name
        }
    if customer.exempt_until is not None and customer.exempt_until < on:
        return _("The exemption certificate %(number)s of %(name)s ended on %(until)s, before %(on)s.") % {
            "number": customer.exemption_certificate,
            "name": customer.name,
            "until": customer.exempt_until.isoformat(),
            "on": on.isoformat(),
        }
    return ""


@dataclass(frozen=True)
class _Codes:
    settings: Mapping[str, Any]
    mapped: Mapping[str, str]

    def decide(self, treatment: str, evidence: str = "") -> TaxDecision:
        entry = self.settings.get(treatment) or {}
        code = str(entry.get("code") or self.mapped.get(treatment) or "")
        try:
            rate = Decimal(str(entry.get("rate") or "0"))
        except InvalidOperation:
            rate, code = Decimal(0), ""
        if not code:
            reason = _(
                "Neither the ERP routing of this legal entity nor a mapping has a tax code for the treatment “%(treatment)s”."
            ) % {"treatment": treatment}
            return TaxDecision(treatment, problem_code="TAX-CODE", reason=reason)
        return TaxDecision(treatment, code, rate, evidence)


def _vat_evidence(tax_id: str, country: str) -> str:
    """A sentence when the VAT id is well-formed for the country, else "". Source: python-stdnum ``<cc>.vat``."""
    module = get_cc_module(country.lower(), "vat")
    if not tax_id or module is None:
        return ""
    try:
        number = module.validate(tax_id)
    except ValidationError:
        return ""
    return _("VAT id %(number)s of %(country)s: form and check digits are right.") % {
        "number": number,
        "country": country,
    }
