"""Vendors we speak to: one line each.

Public surface: :data:`VENDORS`, :func:`adapter_class`, :func:`describe_vendor`.
"""

from __future__ import annotations

from dataclasses import replace
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

#: What the account of a connection allows, where it is not the least that the vendor promises.
TRAFFIC: dict[str, Any] = {
    "max_concurrency": {
        "type": "integer",
        "title": "Calls at once",
        "description": "How many calls the account allows at the same time, less what other integrations need.",
        "minimum": 1,
        "maximum": 500,
    },
    "calls_per_second": {
        "type": "number",
        "title": "Calls a second",
        "description": "How many calls a second the account allows, less what other integrations need.",
        "exclusiveMinimum": 0,
    },
}


@cache
def adapter_class(vendor: str) -> Any:
    """The adapter class of a vendor; it takes ``settings=``. Raises ``InvalidInput`` for a vendor nobody wrote."""
    if vendor not in VENDORS:
        raise InvalidInput(f"There is no adapter for the vendor “{vendor}”.", fields={"vendor": "unknown"})
    return import_string(VENDORS[vendor])


def build(vendor: str, settings: Settings) -> Adapter:
    return adapter_class(vendor)(settings=settings)


@cache
def describe_vendor(vendor: str) -> Description:
    """What an adapter offers, before any connection exists (for the form that creates one), with the settings that every
    connection has."""
    described = build(vendor, Settings(system="", base_url="", config={}, secrets={})).describe()
    properties = {**described.config_schema.get("properties", {}), **TRAFFIC}
    return replace(described, config_schema={**described.config_schema, "properties": properties})
