"""Vendors we speak to: one line each.

Public surface: :data:`VENDORS`, :func:`adapter_class`, :func:`describe_vendor`.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from django.utils.module_loading import import_string

from apps.connectors.spi import Adapter, Description, Settings
from apps.core.errors import InvalidInput

VENDORS: dict[str, str] = {
    "salesforce": "apps.connectors.adapters.salesforce.adapter.SalesforceAdapter",
    "netsuite": "apps.connectors.adapters.netsuite.adapter.NetSuiteAdapter",
    "kantata": "apps.connectors.adapters.kantata.adapter.KantataAdapter",
    "stripe": "apps.connectors.adapters.stripe.adapter.StripeAdapter",
}


@cache
def adapter_class(vendor: str) -> Any:
    """The adapter class of a vendor; it takes ``settings=``. Raises ``InvalidInput`` for a vendor nobody wrote."""
    if vendor not in VENDORS:
        raise InvalidInput(f"There is no adapter for the vendor “{vendor}”.", fields={"vendor": "unknown"})
    return import_string(VENDORS[vendor])


def build(vendor: str, settings: Settings) -> Adapter:
    return adapter_class(vendor)(settings=settings)


def describe_vendor(vendor: str) -> Description:
    """What an adapter offers, before any connection exists (for the form that creates one)."""
    return build(vendor, Settings(system="", base_url="", config={}, secrets={})).describe()
