"""The small firm as the screens show it: two entities, people, broken deals, an engagement with a prebill, a new mapping.

Everything is made through the rooms' services, as the engine and people would.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from apps.billing import services as billing
from apps.canonical.money import Money
from apps.canonical.objects import ServiceItem
from apps.commercial import services as commercial
from apps.core.scope import EVERYTHING
from apps.governance import services as governance
from apps.organization import services as organization
from apps.records import services as records
from apps.sync import services as sync
from apps.triage import selectors as triage
from apps.triage import services as triage_services
from tests.billing import world as billing_world
from tests.commercial import world as commercial_world
from tests.people import hire

UNMAPPED = "DEAL-SVC-UNMAPPED"


class World:
    """``uk`` and ``be`` are entities; people are hired when first asked for."""

    def __init__(self) -> None:
        self.uk = commercial_world.entity()
        self.be = organization.entity_set(
            code="OST-BE",
            name="Ostrel Analytics BV",
            country="BE",
            currency="EUR",
            timezone="Europe/Brussels",
            mapping_threshold=Decimal("100000"),
        )
        self.crm = organization.system_set(code="crm", name="Salesforce", kind="crm", vendor="salesforce")
        self.erp = organization.system_set(code="erp", name="NetSuite", kind="erp", vendor="netsuite")
        for entity in (self.uk, self.be):
            organization.routing_set(
                legal_entity=entity, kind="erp", system=self.erp, settings={"tax": billing_world.TAX}
            )

    def service_items(self, *names: tuple[str, str]) -> None:
        """Items that the ERP last showed: what an unmapped service may mean."""
        for number, (code, name) in enumerate(names, start=401):
            body = ServiceItem(key=code, name=name)
            records.observe(
                system_id=self.erp.pk, object_type="service_item", external_id=str(number), body=body
            )

    def broken_deal(
        self,
        number: int,
        *,
        entity: Any = None,
        code: str = UNMAPPED,
        value: str = "AIR-510",
        reason: str = "",
        amount: str | None = "12300",
        label: str = "",
        customer: str = "Tolvane Rail",
        object_type: str = "service_item",
        field: str = "service_code",
        **fact: Any,
    ) -> Any:
        """A deal whose plan is blocked, and its open case."""
        entity = entity or self.be
        key = f"crm:006{number:05d}"
        label = label or f"{customer}: responsible-AI review {number}"
        self.observe_deal(key, entity=entity, label=label, value=value, amount=amount or "1")
        row = sync.enqueue(kind="deal", key=key, flow="deal.provision", trigger="event")
        reason = reason or f"Service {value} was sold, but {entity.name} has no billing code for it."
        problem = {
            "code": code,
            "step": "project",
            "object_type": object_type,
            "field": field,
            "value": value,
            "reason": reason,
            "params": {"service": value, "name": "Responsible-AI review", "legal_entity": entity.code},
        }
        triage_services.cases_reconcile(
            [
                {
                    "transaction_id": row.pk,
                    "transaction_ref": row.ref,
                    "subject_kind": "deal",
                    "subject_key": key,
                    "flow": "deal.provision",
                    "legal_entity_id": entity.pk,
                    "engagement_key": "",
                    "label": label,
                    "customer": customer,
                    "currency": entity.currency,
                    "amount": amount,
                    "correlation_id": str(row.correlation_id),
                    "problems": [problem],
                    **fact,
                }
            ]
        )
        return triage.cases_of_transaction(EVERYTHING, row.pk).first()

    def observe_deal(self, key: str, *, entity: Any, label: str, value: str, amount: str) -> None:
        body = commercial_world.deal(
            key=key,
            name=label,
            currency=entity.currency,
            legal_entity_code=entity.code,
            amount=Money.of(amount, entity.currency),
        )
        records.observe(
            system_id=self.crm.pk,
            object_type="deal",
            external_id=key.partition(":")[2],
            body=body,
            url=f"https://crm.merridane.example/lightning/r/Opportunity/{key.partition(':')[2]}/view",
            key=key,
            legal_entity_id=entity.pk,
        )

    def engagement(self, *, number: str = "A", manager: str = "pavel", **deal: Any) -> str:
        """An active engagement in the UK, its schedule loaded, one milestone accepted; ``manager`` runs it."""
        firm = billing_world.Firm(self.uk, self.crm, None, None, None)
        billing_world.customer(firm)
        values = {"key": f"crm:006{number}", "project_manager": f"{manager}@merridane.example"}
        opened = commercial.engagement_open(
            deal=commercial_world.deal(**{**values, **deal}),
            legal_entity=self.uk,
            lines=commercial_world.lines("IMP-200"),
        )
        commercial.engagement_activate(key=opened.key)
        billing.schedule_load(engagement_key=opened.key)
        billing.milestone_observe(milestone=billing_world.milestone(opened.key))
        hire(manager, engagement_key=opened.key)
        return opened.key

    def prebill(self, engagement_key: str) -> Any:
        """The draft of what is ready now, waiting for its project manager."""
        return billing.prebill_draft(engagement_key=engagement_key)

    def new_mapping(
        self, by: Any, *, source: str = "AIR-510", entity: Any = None, exposure: str = "500"
    ) -> Any:
        entity = entity or self.be
        return governance.mapping_add(
            kind="service_item",
            legal_entity=entity,
            source=source,
            target="401",
            target_label="4010 Fixed-fee reviews",
            by=by,
            reason="Sold since October",
            exposure=Money.of(exposure, entity.currency),
        )
