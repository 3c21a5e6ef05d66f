"""Records of one Kantata account: writing with checks, derived records, news.

Public surface: Account (create, update, destroy, load, refer, references, resolve_submission).
"""

import json

from ..core import clock
from ..core.systems import System
from .errors import refuse
from .fields import CURRENCIES, REFERABLE, REFERENCE, RESOURCES, STORY_STATES, Field

DEFAULTS = {
    "workspaces": {
        "archived": False,
        "currency": "USD",
        "access_level": "invitation",
        "budgeted": False,
        "workspace_group_ids": [],
        "percentage_complete": 0,
        "require_time_approvals": True,
        "status": {"color": "grey", "key": 100, "message": "Not Started"},
    },
    "stories": {
        "state": "not started",
        "priority": "normal",
        "billable": True,
        "archived": False,
        "percentage_complete": 0,
        "assignee_ids": [],
    },
    "time_entries": {
        "billable": True,
        "approved": False,
        "taxable": False,
        "invoice_id": None,
        "is_invoiced": False,
        "active_submission_id": None,
    },
    "expenses": {
        "billable": True,
        "approved": False,
        "taxable": False,
        "reimbursable": False,
        "invoice_id": None,
        "is_invoiced": False,
    },
    "timesheet_submissions": {"status": "pending"},
    "expense_report_submissions": {"status": "pending"},
    "billing_milestones": {
        "billing_type": "fixed_date",
        "invoice_ids": [],
        "invoiced": False,
        "state": "planned",
    },
    "invoices": {"status": "new", "workspace_ids": [], "balance_in_cents": 0, "total_in_cents": 0},
    "rate_cards": {"archived": False, "default": False},
    "rate_card_sets": {"archived": False, "default": False},
    "roles": {"deactivated": False},
    "users": {"disabled": False},
    "workspace_groups": {"company": True, "workspace_ids": []},
    "external_references": {"status": "pending", "locked": False},
}


def now_text() -> str:
    return f"{clock.now():%Y-%m-%dT%H:%M:%SZ}"


class Account:
    def __init__(self, system: System):
        self.system = system

    def install(self) -> None:
        if self.system.all("currencies"):
            return
        for number, (code, name, symbol, unit) in enumerate(CURRENCIES, 1):
            self._keep(
                "currencies",
                {
                    "id": str(number),
                    "iso_code": code,
                    "name": name,
                    "symbol": symbol,
                    "base_unit": unit,
                    "created_at": now_text(),
                    "updated_at": now_text(),
                },
            )

    def get(self, plural: str, id_: str) -> dict:
        doc = self.system.get(plural, str(id_))
        if doc is None:
            refuse("Record not found", status=404, kind="system")
        return doc

    def _keep(self, plural: str, doc: dict) -> dict:
        return self.system.put(plural, doc["id"], doc)

    # -- writing ---------------------------------------------------------------------------------

    def create(self, plural: str, values: dict) -> dict:
        resource = RESOURCES[plural]
        reference = values.pop("external_reference", None) if isinstance(values, dict) else None
        clean = self._read(plural, values)
        if plural == "rate_card_versions":
            refuse(
                "Rate Card Versions are created with their Rate Card Set Version", status=403, kind="oauth"
            )
        missing = [f.name for f in resource.fields.values() if f.required and clean.get(f.name) in (None, "")]
        if missing:
            refuse(f"{missing[0].replace('_', ' ').capitalize()} can't be blank", missing[0])
        now = now_text()
        doc = {
            **dict.fromkeys(resource.fields),
            **DEFAULTS.get(plural, {}),
            **clean,
            "id": str(self.system.number(f"id:{plural}", start=1000)),
            "created_at": now,
            "updated_at": now,
        }
        self._check(plural, doc, None)
        self._keep(plural, doc)
        self._derive(plural, doc)
        self.news(plural, "created", None, self.system.get(plural, doc["id"]))
        if reference is not None:
            self.refer(resource.subject, doc["id"], reference)
        return self.system.get(plural, doc["id"])

    def update(self, plural: str, id_: str, values: dict) -> dict:
        before = self.get(plural, id_)
        reference = values.pop("external_reference", None) if isinstance(values, dict) else None
        clean = self._read(plural, values)
        doc = {**before, **clean}
        if clean:
            doc["updated_at"] = now_text()
        self._check(plural, doc, before)
        self._keep(plural, doc)
        self.news(plural, "updated", before, doc)
        if reference is not None:
            self.refer(RESOURCES[plural].subject, doc["id"], reference)
        return self.system.get(plural, doc["id"])

    def destroy(self, plural: str, id_: str) -> None:
        before = self.get(plural, id_)
        if before.get("invoice_id") or before.get("invoiced"):
            refuse("Cannot be deleted because it is on an invoice")
        self.system.delete(plural, before["id"])
        for reference in self.references(RESOURCES[plural].subject, before["id"]):
            self.system.delete("external_references", reference["id"])
        self.news(plural, "deleted", before, None)

    def load(self, plural: str, values: dict, *, emit: bool) -> dict:
        """Take a record as it is, read-only fields and stamps included; for the control door."""
        if plural not in RESOURCES:
            raise ValueError(f"no resource {plural}")
        resource = RESOURCES[plural]
        reference = values.get("external_reference")
        values = {k: v for k, v in values.items() if k != "external_reference"}
        bad = [n for n in values if n not in resource.fields and n not in ("id", "created_at", "updated_at")]
        if bad:
            raise ValueError(f"{plural} has no field {', '.join(bad)}")
        clean = {
            n: self._typed(resource.fields[n], v) if n in resource.fields else v for n, v in values.items()
        }
        id_ = str(values.get("id") or self.system.number(f"id:{plural}", start=1000))
        before = self.system.get(plural, id_)
        now = now_text()
        base = before or {**dict.fromkeys(resource.fields), **DEFAULTS.get(plural, {}), "created_at": now}
        doc = {**base, **clean, "id": id_, "updated_at": values.get("updated_at") or now}
        self._keep(plural, doc)
        if before is None:
            self._derive(plural, doc)
        if emit:
            self.news(plural, "updated" if before else "created", before, doc)
        if reference:
            self.refer(resource.subject, id_, reference, quiet=not emit)
        return self.system.get(plural, id_)

    # -- values and rules ------------------------------------------------------------------------

    def _read(self, plural: str, values) -> dict:
        if not isinstance(values, dict):
            refuse("The request body is not an object", status=400, kind="system")
        fields, clean = RESOURCES[plural].fields, {}
        for name, value in values.items():
            if name not in fields:
                refuse(f"Unknown attribute: {name}", name)
            if fields[name].read_only and name != "approved":
                refuse(f"{name} is read-only", name)
            clean[name] = self._typed(fields[name], value)
            self._exists(fields[name], clean[name])
        return clean

    def _exists(self, field: Field, value) -> None:
        for id_ in (value or []) if field.type == "ids" else [value] if field.type == "id" else []:
            if id_ is not None and self.system.get(field.target, id_) is None:
                refuse(
                    f"{field.name.removesuffix('_id').replace('_', ' ').capitalize()} is invalid", field.name
                )

    def _typed(self, field: Field, value):
        if value is None:
            return None
        kind = field.type
        try:
            if kind in ("i", "n"):
                if isinstance(value, bool):
                    raise ValueError
                number = float(value)
                if kind == "i" and not number.is_integer():
                    raise ValueError
                return int(number) if kind == "i" else number
            if kind == "b":
                if str(value).lower() not in ("true", "false", "1", "0"):
                    raise ValueError
                return str(value).lower() in ("true", "1")
            if kind == "d":
                return str(clock.parse(str(value)).date())
            if kind == "dt":
                return f"{clock.parse(str(value)):%Y-%m-%dT%H:%M:%SZ}"
            if kind == "ids":
                return [str(v) for v in value]
            if kind in ("o", "l"):
                return value
            if isinstance(value, dict | list):
                raise ValueError
            return str(value)
        except (TypeError, ValueError):
            refuse(f"{field.name} is invalid", field.name)

    def _check(self, plural: str, doc: dict, before: dict | None) -> None:
        codes = {c["iso_code"] for c in self.system.all("currencies")}
        if doc.get("currency") and plural != "currencies" and doc["currency"] not in codes:
            refuse("Currency is not included in the list", "currency")
        if plural == "workspaces" and doc.get("creator_role") not in ("maven", "buyer"):
            refuse("Creator role must be maven or buyer", "creator_role")
        if plural == "stories":
            states = STORY_STATES.get(doc["story_type"])
            if states is None:
                refuse("Story type is not included in the list", "story_type")
            if before is None and doc["story_type"] == "issue" and doc["state"] == "not started":
                doc["state"] = "new"
            if doc["state"] not in states:
                refuse("State is not included in the list", "state")
        if plural == "billing_milestones":
            if doc["billing_type"] not in ("fixed_date", "upon_completion"):
                refuse("Billing type is not included in the list", "billing_type")
            if doc["state"] not in ("planned", "completed", "accepted"):
                refuse("State is not included in the list", "state")
            if doc["billing_type"] == "upon_completion" and not doc.get("story_id"):
                refuse("Story can't be blank", "story_id")
        if plural in ("time_entries", "expenses"):
            self._check_line(plural, doc, before)
        if plural == "rate_card_roles":
            twins = self.system.find("rate_card_roles", "rate_card_version_id", doc["rate_card_version_id"])
            if any(t["role_id"] == doc["role_id"] and t["id"] != doc["id"] for t in twins):
                refuse("Role has already been taken", "role_id")
        workspace = self.system.get("workspaces", doc["workspace_id"]) if doc.get("workspace_id") else None
        if before is None and workspace and workspace["archived"]:
            refuse("Workspace is archived", "workspace_id")

    def _check_line(self, plural: str, doc: dict, before: dict | None) -> None:
        workspace = self.system.get("workspaces", doc["workspace_id"])
        doc["currency"] = doc.get("currency") or (workspace or {}).get("currency")
        if (
            before
            and before.get("invoice_id")
            and any(
                doc.get(n) != before.get(n)
                for n in RESOURCES[plural].fields
                if n not in ("invoice_id", "notes")
            )
        ):
            refuse("Cannot be changed because it has been invoiced")
        day = doc.get("date_performed") or doc.get("date")
        for lock in self.system.all("line_item_locks"):
            inside = (lock.get("start_date") or "") <= day <= (lock.get("end_date") or "9999")
            if inside and (not lock.get("workspace_ids") or doc["workspace_id"] in lock["workspace_ids"]):
                refuse("Date is locked", "date_performed" if plural == "time_entries" else "date")

    # -- derived records -------------------------------------------------------------------------

    def _derive(self, plural: str, doc: dict) -> None:
        if plural == "timesheet_submissions":
            entries = [
                e
                for e in self.system.find("time_entries", "workspace_id", doc["workspace_id"])
                if doc["start_date"] <= e["date_performed"] <= doc["end_date"]
                and not e["approved"]
                and (doc["user_id"] is None or e["user_id"] == doc["user_id"])
            ]
            for entry in entries:
                self._keep("time_entries", {**entry, "active_submission_id": doc["id"]})
            minutes = sum(e["time_in_minutes"] or 0 for e in entries)
            self._keep(
                plural,
                {**doc, "time_entry_ids": [e["id"] for e in entries], "total_time_in_minutes": minutes},
            )
            if doc["status"] == "approved":
                self.resolve_submission(plural, {**doc, "status": "pending"}, "approved", "")
        elif plural == "rate_card_set_versions":
            doc = self._keep(
                plural, {**doc, "effective_date": doc.get("effective_date") or str(clock.now().date())}
            )
            if not doc.get("rate_card_version_ids"):
                cards = self.system.find("rate_cards", "rate_card_set_id", doc["rate_card_set_id"])
                ids = [self._version(card, doc)["id"] for card in cards]
                self._keep(plural, {**doc, "rate_card_version_ids": ids})
        elif plural == "rate_cards" and doc.get("rate_card_set_id"):
            for version in self.system.find(
                "rate_card_set_versions", "rate_card_set_id", doc["rate_card_set_id"]
            ):
                made = self._version(doc, version)
                ids = [*(version.get("rate_card_version_ids") or []), made["id"]]
                self._keep("rate_card_set_versions", {**version, "rate_card_version_ids": ids})
        elif plural == "invoices":
            self._invoice_lines(doc)
        elif plural == "external_payments":
            invoice = self.get("invoices", doc["invoice_id"])
            left = max(0, (invoice.get("balance_in_cents") or 0) - doc["amount_in_cents"])
            status = "paid" if left == 0 else invoice["status"]
            after = self._keep(
                "invoices", {**invoice, "balance_in_cents": left, "status": status, "updated_at": now_text()}
            )
            self.news("invoices", "updated", invoice, after)
        elif plural == "workspace_allocations":
            resource = self.system.get("workspace_resources", doc["workspace_resource_id"])
            self._keep(plural, {**doc, "workspace_id": (resource or {}).get("workspace_id")})

    def _version(self, card: dict, set_version: dict) -> dict:
        now = now_text()
        return self._keep(
            "rate_card_versions",
            {
                "id": str(self.system.number("id:rate_card_versions", start=1000)),
                "rate_card_id": card["id"],
                "rate_card_set_version_id": set_version["id"],
                "effective_date": set_version["effective_date"],
                "currency": card["currency"],
                "active": True,
                "created_at": now,
                "updated_at": now,
            },
        )

    def clone_version(self, source: dict, target: dict) -> None:
        """Copy the role rates of an earlier set version, card by card."""
        old = {
            v["rate_card_id"]: v["id"]
            for v in self.system.find("rate_card_versions", "rate_card_set_version_id", source["id"])
        }
        for version in self.system.find("rate_card_versions", "rate_card_set_version_id", target["id"]):
            for role in self.system.find(
                "rate_card_roles", "rate_card_version_id", old.get(version["rate_card_id"])
            ):
                self.create(
                    "rate_card_roles",
                    {"rate_card_version_id": version["id"], "role_id": role["role_id"], "rate": role["rate"]},
                )

    def _invoice_lines(self, invoice: dict) -> None:
        total = sum(
            int(i.get("subtotal_in_cents") or i.get("amount_in_cents") or 0)
            for i in invoice.get("additional_items") or []
        )
        for plural in ("time_entries", "expenses", "billing_milestones"):
            for id_ in invoice.get(f"{RESOURCES[plural].singular}_ids") or []:
                line = self.get(plural, id_)
                if plural == "time_entries":
                    total += round((line["rate_in_cents"] or 0) * (line["time_in_minutes"] or 0) / 60)
                else:
                    total += line["amount_in_cents"]
                change = {"invoice_ids": [*(line.get("invoice_ids") or []), invoice["id"]], "invoiced": True}
                if plural != "billing_milestones":
                    change = {"invoice_id": invoice["id"], "is_invoiced": True}
                self.news(
                    plural, "updated", line, self._keep(plural, {**line, **change, "updated_at": now_text()})
                )
        self._keep("invoices", {**invoice, "total_in_cents": total, "balance_in_cents": total})

    def cancel_invoice(self, invoice: dict) -> dict:
        if invoice["status"] in ("cancelled", "paid"):
            refuse(f"Invoice is {invoice['status']}")
        for plural in ("time_entries", "expenses"):
            for line in self.system.find(plural, "invoice_id", invoice["id"]):
                self._keep(
                    plural, {**line, "invoice_id": None, "is_invoiced": False, "updated_at": now_text()}
                )
        after = self._keep("invoices", {**invoice, "status": "cancelled", "updated_at": now_text()})
        self.news("invoices", "updated", invoice, after)
        return after

    def resolve_submission(self, plural: str, submission: dict, status: str, comment: str) -> dict:
        """Approve, reject or cancel a submission; approval makes its lines approved."""
        if submission["status"] != "pending" and not (
            submission["status"] == "approved" and status == "cancelled"
        ):
            refuse(f"Submission is already {submission['status']}", "status")
        lines = "time_entries" if plural == "timesheet_submissions" else "expenses"
        submission = self.system.get(plural, submission["id"])
        for id_ in submission.get(f"{RESOURCES[lines].singular}_ids") or []:
            line = self.system.get(lines, id_)
            if line is None:
                continue
            change = {"approved": status == "approved", "updated_at": now_text()}
            if lines == "time_entries" and status != "approved":
                change["active_submission_id"] = None
            self.news(lines, "updated", line, self._keep(lines, {**line, **change}))
        resolution = {
            "type": {"approved": "approval", "rejected": "rejection"}.get(status, "cancellation"),
            "description": comment,
            "created_at": now_text(),
        }
        after = self._keep(
            plural,
            {**submission, "status": status, "current_resolution": resolution, "updated_at": now_text()},
        )
        self.news(plural, "updated", submission, after)
        return after

    # -- external references ---------------------------------------------------------------------

    def references(self, subject: str, id_: str) -> list[dict]:
        found = self.system.find("external_references", "subject_id", str(id_))
        return [r for r in found if r["subject_type"] == subject]

    def refer(self, subject: str, id_: str, values: dict, *, quiet: bool = False) -> tuple[dict, bool]:
        """Create or change the reference of this service on the object: (reference, created)."""
        if subject not in REFERABLE or self.system.get(REFERABLE[subject], str(id_)) is None:
            refuse("Subject is invalid", "subject_id")
        unknown = [n for n in values if n not in REFERENCE]
        if unknown:
            refuse(f"Unknown attribute: {unknown[0]}", unknown[0])
        if values.get("status") not in (None, "pending", "successful", "failed"):
            refuse("Status is not included in the list", "status")
        missing = [n for n in ("service_name", "service_model", "service_model_ref") if not values.get(n)]
        twin = next(
            (r for r in self.references(subject, id_) if r["service_name"] == values.get("service_name")),
            None,
        )
        if missing and not (twin and "service_name" not in missing):
            refuse(f"{missing[0].replace('_', ' ').capitalize()} can't be blank", missing[0])
        now = now_text()
        clean = {n: None if v is None else (v if n == "locked" else str(v)) for n, v in values.items()}
        if twin:
            return self._keep("external_references", {**twin, **clean, "updated_at": now}), False
        doc = {
            **dict.fromkeys(RESOURCES["external_references"].fields),
            **DEFAULTS["external_references"],
            **clean,
            "subject_type": subject,
            "subject_id": str(id_),
            "created_at": now,
            "updated_at": now,
            "id": str(self.system.number("id:external_references", start=1000)),
        }
        return self._keep("external_references", doc), True

    # -- subscribed events -----------------------------------------------------------------------

    def news(self, plural: str, verb: str, before: dict | None, after: dict | None) -> None:
        """Record a subscribed event; nothing is pushed, the feed is polled."""
        resource = RESOURCES[plural]
        doc = after or before
        changes = {}
        if before and after:
            changes = {
                k: [before.get(k), after[k]] for k in after if after[k] != before.get(k) and k != "updated_at"
            }
            if not changes:
                return
        id_ = str(self.system.number("id:subscribed_events", start=50_000))
        self.system.put(
            "subscribed_events",
            id_,
            {
                "id": id_,
                "event_type": f"{resource.event}:{verb}",
                "subject_type": resource.subject,
                "subject_id": doc["id"],
                "workspace_id": doc.get("workspace_id"),
                "user_id": None,
                "previous_payload": json.loads(json.dumps(before)) if before else None,
                "current_payload": after,
                "payload_changes": changes,
                "subject_changed_at": doc.get("updated_at"),
                "created_at": now_text(),
                "updated_at": now_text(),
            },
        )
