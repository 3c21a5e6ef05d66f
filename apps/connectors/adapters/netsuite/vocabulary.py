"""What ids mean in one NetSuite account: currencies, subsidiaries, items, billing classes; addresses of records.

Public surface: :class:`Vocabulary`.

Looked up once for an adapter instance, which lives for one piece of work.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any

from moneyed import CURRENCIES

from apps.connectors.adapters.netsuite.client import Client, is_true, literal, ref_id, ref_name
from apps.connectors.spi import AdapterError, ErrorKind

#: Pages of the user interface by record type.
_PAGES = {
    "customer": "/app/common/entity/custjob.nl",
    "job": "/app/accounting/project/project.nl",
    "invoice": "/app/accounting/transactions/custinvc.nl",
    "customerPayment": "/app/accounting/transactions/custpymt.nl",
    "employee": "/app/common/entity/employee.nl",
    "serviceSaleItem": "/app/common/item/item.nl",
    "subsidiary": "/app/common/otherlists/subsidiarytype.nl",
    "billingRateCard": "/app/accounting/project/billingratecard.nl",
    "chargeRule": "/app/accounting/project/chargerule.nl",
}


class Vocabulary:
    """Ids of the account in the words of canonical objects, and back."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.config = client.settings.config
        self._items: dict[str, str] = {}

    # -- currencies ----------------------------------------------------------------------------

    @cached_property
    def currencies(self) -> dict[str, str]:
        """Internal id → ISO 4217 code (NetSuite calls it the symbol)."""
        rows = self.client.rows("id, symbol, name", "currency")
        return {str(row["id"]): str(row.get("symbol") or row.get("name") or "") for row in rows}

    def currency(self, reference: Any) -> str:
        """The ISO code a record's currency reference stands for, "" when it is empty."""
        if ref_name(reference) in CURRENCIES:
            return ref_name(reference)
        found = ref_id(reference)
        if found in CURRENCIES:
            return found
        return self.currencies.get(found, "") if found else ""

    def currency_id(self, code: str, settings: Mapping[str, Any]) -> str:
        """The internal id of an ISO code. Raises ``REJECTED``/``CUS-CURRENCY`` when the account does not have it."""
        if settings.get("currency_id"):
            return str(settings["currency_id"])
        for found, symbol in self.currencies.items():
            if symbol == code:
                return found
        raise AdapterError(
            ErrorKind.REJECTED,
            f"The currency {code} is not set up in NetSuite.",
            code="CUS-CURRENCY",
            field="currency",
            value=code,
        )

    # -- items ---------------------------------------------------------------------------------

    def item_id(self, billing_code: str, *, field: str = "billing_code") -> str:
        """The internal id of an item by its id or its name (``itemid``).

        Raises ``REJECTED``: ``DEAL-SVC-UNMAPPED`` when it is empty or unknown.
        """
        if billing_code.isdigit():
            return billing_code
        if billing_code and billing_code not in self._items:
            rows = self.client.select("id, itemid", "item", f"itemid = {literal(billing_code)}")
            if rows:
                self._items[billing_code] = str(rows[0]["id"])
        if billing_code in self._items:
            return self._items[billing_code]
        raise AdapterError(
            ErrorKind.REJECTED,
            f"NetSuite has no item {billing_code}." if billing_code else "The line names no billing code.",
            code="DEAL-SVC-UNMAPPED",
            field=field,
            value=billing_code,
        )

    # -- subsidiaries --------------------------------------------------------------------------

    def entity_code(self, subsidiary_id: str) -> str:
        """Our legal-entity code of a subsidiary (configuration ``subsidiaries``), else its id."""
        known = self.config.get("subsidiaries")
        return str(known.get(subsidiary_id, subsidiary_id)) if isinstance(known, Mapping) else subsidiary_id

    def customer_subsidiaries(self, customer_id: str) -> list[str]:
        """Subsidiaries a customer may trade with, besides its primary one."""
        rows = self.client.rows(
            "id, subsidiary", "customersubsidiaryrelationship", f"entity = {_whole(customer_id)}"
        )
        return [str(row["subsidiary"]) for row in rows if row.get("subsidiary")]

    # -- billing classes -----------------------------------------------------------------------

    @cached_property
    def billing_classes(self) -> dict[str, str]:
        """Name of each active billing class → internal id. A rate card prices billing classes, which are our roles."""
        rows = self.client.rows("id, name, isinactive", "billingclass")
        return {str(row["name"]): str(row["id"]) for row in rows if not is_true(row.get("isinactive"))}

    # -- pages ---------------------------------------------------------------------------------

    def page(self, kind: str, internal_id: str) -> str:
        """The address of a record in NetSuite's user interface, "" when unknown."""
        account = str(self.config.get("account") or "").lower().replace("_", "-")
        base = str(
            self.config.get("app_url") or (f"https://{account}.app.netsuite.com" if account else "")
        ).rstrip("/")
        return f"{base}{_PAGES[kind]}?id={internal_id}" if base and kind in _PAGES else ""


def _whole(value: str) -> str:
    """An internal id inside a statement; anything but digits would be an injection."""
    if not value.isdigit():
        raise AdapterError(ErrorKind.NOT_FOUND, f"{value!r} is not an internal id of NetSuite.", value=value)
    return value
