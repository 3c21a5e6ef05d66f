"""Records of one Kantata account: writing with checks, derived records, news.

Public surface: Account (create, update, destroy, load, refer, references, resolve_submission).
"""

import json

from ..core import clock
from ..core.systems import System
from .errors import refuse
from .fields import CURRENCIES, REFERABLE, REFERENCE, RESOURCES, STORY_STATES, Field, Resource

DEFAULTS = {
    "workspaces": {
        "archived": False,
        "currency": "USD",
        "access_level": "invitation",
        "budgeted": False,
        "percentage_complete": 0,
        "require_time_approvals": True,
        "status": {"color": "grey", "key": "100", "message": "Not Started"},
    },
    "stories": {
        "state": "not started",
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
    "timesheet_submissions": {"status": "pending", "type": "TimesheetSubmission"},
    "billing_milestones": {
        "billing_type": "fixed_date",
        "invoice_ids": [],
        "state": "planned",
    },
    "invoices": {"status": "new", "draft": False, "workspace_ids": [], "balance_in_cents": 0},
    "rate_cards": {"removable": True, "uses": 0},
    "rate_card_sets": {"account_default": False},
    "rate_card_set_versions": {"active": True},
    "rate_card_versions": {"default_rate": 0},
    "external_references": {"status": "pending", "locked": False},
}


def now_text() -> str:
    return f"{clock.now():%Y-%m-%dT%H:%M:%SZ}"


class Account:
    def __init__(self, system: System):
        self.system = system

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
        clean, reference = self._read(resource, values, "create")
        missing = [
            f.name for f in resource.fields.values() if f.required and clean.get(f.name) in (None, "", [])
        ]
        if missing:
            refuse(f"{missing[0].replace('_', ' ').capitalize()} can't be blank", missing[0])
        now = now_text()
        doc = {
            **dict.fromkeys(resource.shown),
            **DEFAULTS.get(plural, {}),
            **clean,
            "id": str(self.system.number(f"id:{plural}", start=1000)),
            "created_at": now,
            "updated_at": now,
        }
        self._check(plural, doc, None)
        doc = self._settled(resource, doc)
        self._keep(plural, doc)
        self._derive(plural, doc, clean)
        self.news(plural, "created", None, self.system.get(plural, doc["id"]))
        if reference is not None:
            self.refer(resource.reference_subject, doc["id"], reference)
        return self.system.get(plural, doc["id"])

    def update(self, plural: str, id_: str, values: dict) -> dict:
        before, resource = self.get(plural, id_), RESOURCES[plural]
        clean, reference = self._read(resource, values, "update")
        doc = {**before, **clean}
        if clean:
            doc["updated_at"] = now_text()
        self._check(plural, doc, before)
        doc = self._settled(resource, doc)
        self._keep(plural, doc)
        self.news(plural, "updated", before, doc)
        if reference is not None:
            self.refer(resource.reference_subject, doc["id"], reference)
        return self.system.get(plural, doc["id"])

    def destroy(self, plural: str, id_: str) -> None:
        before = self.get(plural, id_)
        if before.get("invoice_id"):
            refuse("Cannot be deleted because it is on an invoice")
        self.system.delete(plural, before["id"])
        for reference in self.references(RESOURCES[plural].reference_subject, before["id"]):
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
        base = before or {**dict.fromkeys(resource.shown), **DEFAULTS.get(plural, {}), "created_at": now}
        doc = {**base, **clean, "id": id_, "updated_at": values.get("updated_at") or now}
        doc = self._settled(resource, doc)
        self._keep(plural, doc)
        if before is None:
            self._derive(plural, doc, clean)
        if emit:
            self.news(plural, "updated" if before else "created", before, doc)
        if reference:
            self.refer(resource.reference_subject, id_, reference, quiet=not emit)
        return self.system.get(plural, id_)

    # -- values and rules ------------------------------------------------------------------------

    def _read(self, resource: Resource, values, verb: str) -> tuple[dict, dict | None]:
        """The values to keep and the external reference; ``verb`` is ``create`` or ``update``, as the vendor's body of it
        is published. Raises a refusal for every name that is not in it."""
        if not isinstance(values, dict):
            refuse("The request body is not an object", status=400, kind="system")
        published, clean, reference = resource.published[verb], {}, None
        for name, value in values.items():
            if name not in published:
                refuse(f"Unknown attribute: {name}", name)
            if name == "external_reference":
                reference = value
                continue
            if name not in resource.fields:
                refuse(f"{name} is not emulated", name)
            field = resource.fields[name]
            clean[name] = self._typed(field, value)
            self._exists(field, clean[name])
        return clean, reference

    def _settled(self, resource: Resource, doc: dict) -> dict:
        """The record without what is only sent, which has its effect here."""
        if resource.plural == "workspaces":
            unit = next((unit for code, _, _, unit in CURRENCIES if code == doc["currency"]), 100)
            doc["currency_base_unit"] = unit
            if doc.get("price") is not None:
                doc["price_in_cents"] = doc["price"] * unit
            if doc.get("status_key") is not None:
                doc["status"] = {"color": "green", "key": str(doc["status_key"]), "message": "On Track"}
        if resource.plural in ("billing_milestones", "time_entries") and not doc.get("currency"):
            doc["currency"] = (self.system.get("workspaces", doc["workspace_id"]) or {}).get("currency")
        if resource.plural == "rate_cards" and doc.get("rate_card_set_id"):
            card_set = self.system.get("rate_card_sets", doc["rate_card_set_id"]) or {}
            doc["rate_card_set_title"] = f"{card_set.get('title')} {doc['currency']}"
        return {name: value for name, value in doc.items() if not _only_sent(resource, name)}

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
        codes = {code for code, *_ in CURRENCIES}
        if doc.get("currency") and doc["currency"] not in codes:
            refuse("Currency is not included in the list", "currency")
        for name, allowed in RESOURCES[plural].published.get("choices", {}).items():
            sent = name in RESOURCES[plural].fields and not RESOURCES[plural].fields[name].read_only
            if sent and doc.get(name) is not None and doc[name] not in allowed:
                refuse(f"{name.replace('_', ' ').capitalize()} is not included in the list", name)
        if plural == "workspaces" and before is None and doc.get("budgeted") and doc.get("price") is None:
            refuse("Price can't be blank", "price")
        if plural == "stories":
            states = STORY_STATES.get(doc["story_type"])
            if before is None and doc["story_type"] == "issue" and doc["state"] == "not started":
                doc["state"] = "new"
            if doc["state"] not in states:
                refuse("State is not included in the list", "state")
        late = plural == "billing_milestones" and doc["billing_type"] == "upon_completion"
        if late and not doc.get("story_id"):
            refuse("Story can't be blank", "story_id")
        if plural == "time_entries":
            self._check_entry(doc, before)
        if plural == "rate_card_roles":
            twins = self.system.find("rate_card_roles", "rate_card_version_id", doc["rate_card_version_id"])
            if any(t["role_id"] == doc["role_id"] and t["id"] != doc["id"] for t in twins):
                refuse("Role has already been taken", "role_id")
        workspace = self.system.get("workspaces", doc["workspace_id"]) if doc.get("workspace_id") else None
        if before is None and workspace and workspace["archived"]:
            refuse("Workspace is archived", "workspace_id")

    def _check_entry(self, doc: dict, before: dict | None) -> None:
        workspace = self.system.get("workspaces", doc["workspace_id"])
        doc["currency"] = doc.get("currency") or (workspace or {}).get("currency")
        doc["currency_symbol"] = next(
            (sign for code, _, sign, _ in CURRENCIES if code == doc["currency"]), None
        )
        if (
            before
            and before.get("invoice_id")
            and any(
                doc.get(n) != before.get(n)
                for n in RESOURCES["time_entries"].fields
                if n not in ("invoice_id", "notes")
            )
        ):
            refuse("Cannot be changed because it has been invoiced")

    # -- derived records -------------------------------------------------------------------------

    def _derive(self, plural: str, doc: dict, sent: dict) -> None:
        if plural == "timesheet_submissions":
            self._submit(doc, sent.get("line_item_ids"))
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

    def _submit(self, doc: dict, ids: list[str] | None) -> None:
        """Take the named time entries, or (control door) those of the project and user between the two days."""
        entries = [
            entry
            for entry in self.system.find("time_entries", "workspace_id", doc["workspace_id"])
            if (
                entry["id"] in ids
                if ids is not None
                else (doc["start_date"] or "") <= entry["date_performed"] <= (doc["end_date"] or "9999")
            )
            and not entry["approved"]
            and (doc["user_id"] is None or entry["user_id"] == doc["user_id"])
        ]
        for entry in entries:
            self._keep("time_entries", {**entry, "active_submission_id": doc["id"]})
        days = sorted(entry["date_performed"] for entry in entries)
        worth = sum((e["rate_in_cents"] or 0) * (e["time_in_minutes"] or 0) / 60 for e in entries)
        workspace = self.system.get("workspaces", doc["workspace_id"]) or {}
        self._keep(
            "timesheet_submissions",
            {
                **doc,
                "time_entry_ids": [entry["id"] for entry in entries],
                "start_date": doc["start_date"] or (days[0] if days else None),
                "end_date": doc["end_date"] or (days[-1] if days else None),
                "line_item_total_in_cents": round(worth),
                "currency": workspace.get("currency"),
            },
        )
        if doc["status"] == "approved":
            self.resolve_submission({**doc, "status": "pending"}, "approved", "")

    def _version(self, card: dict, set_version: dict) -> dict:
        now = now_text()
        return self._keep(
            "rate_card_versions",
            {
                "id": str(self.system.number("id:rate_card_versions", start=1000)),
                "rate_card_id": card["id"],
                "rate_card_set_version_id": set_version["id"],
                "default_rate": 0,
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
        total = 0
        for plural in ("time_entries", "billing_milestones"):
            for id_ in invoice.get(f"{RESOURCES[plural].singular}_ids") or []:
                line = self.get(plural, id_)
                change: dict = {"invoice_id": invoice["id"]}
                if plural == "time_entries":
                    total += round((line["rate_in_cents"] or 0) * (line["time_in_minutes"] or 0) / 60)
                    change["is_invoiced"] = True
                else:
                    total += line["amount_in_cents"]
                    change["invoice_ids"] = [*(line.get("invoice_ids") or []), invoice["id"]]
                self._renew(plural, line, change)
        self._keep("invoices", {**invoice, "balance_in_cents": total})

    def cancel_invoice(self, invoice: dict) -> dict:
        for line in self.system.find("time_entries", "invoice_id", invoice["id"]):
            self._renew("time_entries", line, {"invoice_id": None, "is_invoiced": False})
        return self._renew("invoices", invoice, {"status": "cancelled"})

    def _renew(self, plural: str, before: dict, change: dict) -> dict:
        after = self._keep(plural, {**before, **change, "updated_at": now_text()})
        self.news(plural, "updated", before, after)
        return after

    def resolve_submission(self, submission: dict, status: str, comment: str) -> dict:
        """Approve, reject or cancel a timesheet; approval makes its time entries approved."""
        if submission["status"] != "pending" and not (
            submission["status"] == "approved" and status == "cancelled"
        ):
            refuse(f"Submission is already {submission['status']}", "status")
        submission = self.system.get("timesheet_submissions", submission["id"])
        for id_ in submission.get("time_entry_ids") or []:
            entry = self.system.get("time_entries", id_)
            if entry is None:
                continue
            change: dict = {"approved": status == "approved"}
            if status != "approved":
                change["active_submission_id"] = None
            self._renew("time_entries", entry, change)
        decided = {
            "status": status,
            "current_resolution_created_at_date": now_text(),
            "current_resolution_description": comment,
        }
        return self._renew("timesheet_submissions", submission, decided)

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
            **dict.fromkeys(RESOURCES["external_references"].shown),
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


def _only_sent(resource: Resource, name: str) -> bool:
    return name in resource.fields and resource.fields[name].only_sent
