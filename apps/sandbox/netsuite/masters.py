"""Business rules of customers, their subsidiaries and projects.

Public surface: MasterRules (a part of Account), now_text.
"""

import re

from ..core import clock
from .errors import refuse, rule


def now_text() -> str:
    """Date-times are whole seconds in UTC here."""
    return f"{clock.now():%Y-%m-%dT%H:%M:%SZ}"


class MasterRules:
    def _check_external_id(self, kind: str, doc: dict) -> None:
        external = doc.get("externalId")
        if not external:
            return
        if not re.fullmatch(r"[A-Za-z0-9_\-:.|]+", external):
            refuse(400, "INVALID_ID", f"Invalid external id {external}.", path="externalId")
        for other in self.system.find(kind, "externalId", external):
            if other["id"] != doc["id"]:
                rule(
                    "DUP_RCRD",
                    f"This record already exists: external ID {external} is used by another record.",
                    path="externalId",
                )

    def _customer(self, doc: dict, before: dict | None) -> None:
        if not doc.get("isPerson") and not doc.get("companyName"):
            refuse(
                400,
                "USER_ERROR",
                "Error while accessing a resource. Please enter value(s) for: Company Name.",
                path="companyName",
            )
        if not doc.get("subsidiary"):
            refuse(
                400,
                "USER_ERROR",
                "Error while accessing a resource. Please enter value(s) for: Primary Subsidiary.",
                path="subsidiary",
            )
        if not doc.get("entityId"):
            number = self.system.number("customer-number")
            automatic = self.system.setting("auto_number_entities", False)
            name = doc.get("companyName") or f"{doc.get('firstName', '')} {doc.get('lastName', '')}".strip()
            doc["entityId"] = f"CUST{number:05d}" if automatic else name
        wanted = doc["entityId"].casefold()
        if any(
            d["id"] != doc["id"] and (d.get("entityId") or "").casefold() == wanted
            for d in self.system.all("customer")
        ):
            rule(
                "DUP_ENTITY",
                "This entity already exists. A customer record with this ID already exists. You must "
                "enter a unique customer ID for each record you create.",
                path="entityId",
            )
        subsidiary = self.resolve("subsidiary", doc["subsidiary"]["id"])
        if not doc.get("currency"):
            doc["currency"] = subsidiary.get("currency")
        if before is None:
            doc.setdefault("balance", 0.0)
            return
        if (
            before.get("currency")
            and doc["currency"] != before["currency"]
            and self._has_transactions(doc["id"])
        ):
            rule(
                "PRIMARY_CURRENCY_CHANGE_NOT_ALLOWED",
                "The primary currency cannot be changed: transactions exist for this customer.",
                path="currency",
            )
        if doc["subsidiary"]["id"] != before["subsidiary"]["id"] and self._has_transactions(doc["id"]):
            rule(
                "SUBSIDIARY_CHANGE_NOT_ALLOWED",
                "The subsidiary cannot be changed: transactions exist for this customer.",
                path="subsidiary",
            )

    def _has_transactions(self, customer: str) -> bool:
        return any(
            d["entity"]["id"] == customer for kind in ("invoice", "creditMemo") for d in self.system.all(kind)
        )

    def _primary_relationship(self, customer: dict) -> None:
        relation = self._blank("customerSubsidiaryRelationship")
        relation |= {
            "entity": {"id": customer["id"], "refName": customer["refName"]},
            "subsidiary": customer["subsidiary"],
            "isPrimarySub": True,
            "primaryCurrency": customer.get("currency"),
            "lastModifiedDate": now_text(),
            "name": customer["refName"],
            "refName": customer["refName"],
        }
        self.system.put("customerSubsidiaryRelationship", relation["id"], relation)

    def _relationship(self, doc: dict, before: dict | None) -> None:
        for other in self.system.all("customerSubsidiaryRelationship"):
            same = (other["entity"]["id"], other["subsidiary"]["id"]) == (
                doc["entity"]["id"],
                doc["subsidiary"]["id"],
            )
            if same and other["id"] != doc["id"]:
                rule(
                    "DUP_RCRD",
                    "This record already exists: the customer already belongs to this subsidiary.",
                    path="subsidiary",
                )
        doc.setdefault("isPrimarySub", False)
        doc["name"] = doc["entity"].get("refName")

    def _job(self, doc: dict, before: dict | None) -> None:
        if not doc.get("companyName"):
            refuse(
                400,
                "USER_ERROR",
                "Error while accessing a resource. Please enter value(s) for: Project Name.",
                path="companyName",
            )
        doc["entityId"] = doc.get("entityId") or doc["companyName"]
        parent = self.resolve("customer", doc["parent"]["id"]) if doc.get("parent") else None
        if parent:
            allowed = self.subsidiaries(parent)
            if not doc.get("subsidiary"):
                doc["subsidiary"] = parent.get("subsidiary")
            elif doc["subsidiary"]["id"] not in allowed:
                rule(
                    "SUBSIDIARY_MISMATCH",
                    "The subsidiary of the project is not one of the customer's subsidiaries.",
                    path="subsidiary",
                )
            doc["currency"] = doc.get("currency") or parent.get("currency")
        for other in self.system.all("job"):
            if (
                other["id"] != doc["id"]
                and other.get("entityId") == doc["entityId"]
                and (other.get("parent") or {}).get("id") == (doc.get("parent") or {}).get("id")
            ):
                rule(
                    "DUP_ENTITY",
                    "This entity already exists: a project of this customer has this name.",
                    path="entityId",
                )
