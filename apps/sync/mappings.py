"""The mappings that an engagement uses: what one releases stops at draft until a second person has confirmed it.

Public surface: :func:`in_use`, :class:`InUse`, :func:`hold_unconfirmed`, :func:`held_for_value`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from apps.billing import selectors as billing_selectors
from apps.billing import services as billing
from apps.canonical.objects import Customer
from apps.commercial import selectors as commercial
from apps.governance import selectors as governance
from apps.governance import services as governance_services
from apps.governance.selectors import ProposedMapping, Translation
from apps.organization import selectors as organization
from apps.records import selectors as records

#: Mappings whose target was copied into the terms when the engagement was opened: another mapping does not change them.
FROZEN = frozenset({"service_item"})
_PREFIX = "mapping:"


@dataclass(frozen=True)
class InUse:
    """``lines``: the mappings that its billing codes come from and that nobody had confirmed then; ``values``: what its
    customer, project and invoices are translated with now, None where a value has no partner."""

    lines: tuple[int, ...]
    values: Mapping[tuple[str, str], Translation | None]

    @property
    def unconfirmed(self) -> tuple[int, ...]:
        now = {
            found.mapping_id for found in self.values.values() if found is not None and not found.confirmed
        }
        return tuple(sorted({*self.lines, *(each for each in now if each is not None)}))


def in_use(engagement_key: str, *, overlay: Iterable[ProposedMapping] = ()) -> InUse:
    """Raises ``NotFound`` for an unknown engagement."""
    engagement = commercial.engagement(engagement_key)
    customer = _customer(engagement.customer_key)
    entity = engagement.legal_entity
    wanted = {("currency", engagement.currency), ("payment_terms", engagement.payment_terms)}
    if customer is not None:
        wanted |= {("currency", customer.currency or entity.currency)}
        wanted |= {("payment_terms", customer.payment_terms)}
    lines = commercial.current_terms(engagement_key).lines
    return InUse(
        lines=tuple(
            line["mapping_id"]
            for line in lines
            if line.get("mapping_id") and not line.get("mapping_confirmed")
        ),
        values={
            (kind, source): governance.translate(
                kind=kind, legal_entity_id=entity.id, source=source, overlay=overlay
            )
            for kind, source in sorted(wanted)
            if source
        },
    )


def _customer(key: str) -> Customer | None:
    """As the CRM last showed it; None when it was never seen."""
    code, _, external_id = key.partition(":")
    seen = records.record(organization.system(code).id, "customer", external_id)
    return Customer.model_validate(seen.body) if seen else None


def hold_unconfirmed(engagement_key: str, *, planned: Iterable[int] = ()) -> int:
    """Keep the engagement's drafts from release while a mapping it uses, or one of those ``planned``, is not confirmed; lift
    the holds of those that it no longer uses. Call inside a database transaction, before anything is drafted.

    The mappings are locked first: a review that ends from here on waits for us, and then lifts the hold that it finds."""
    engagement = commercial.engagement(engagement_key)
    used = in_use(engagement_key)
    waiting = governance_services.still_unconfirmed(mapping_ids=[*planned, *used.unconfirmed])
    for mapping_id, refused in waiting:
        billing.place_hold(
            engagement_key=engagement_key,
            legal_entity_id=engagement.legal_entity_id,
            level="posting",
            reason=billing.MAPPING_REFUSED if refused else billing.MAPPING_WAITS,
            source_ref=f"{_PREFIX}{mapping_id}",
        )
    _lift_unused(engagement_key, used, {mapping_id for mapping_id, _ in waiting})
    return len(waiting)


def _lift_unused(engagement_key: str, used: InUse, waiting: set[int]) -> None:
    """A value that has another partner now, or that the engagement does not use any more, holds nothing; one that was refused
    and has no partner yet still does."""
    refs = [hold.source_ref for hold in billing_selectors.engagement_holds(engagement_key)]
    ids = {int(ref.removeprefix(_PREFIX)) for ref in refs if ref.startswith(_PREFIX)} - waiting
    for mapping_id, (kind, source) in governance.values_of(ids).items():
        lacking = (kind, source) in used.values and used.values[kind, source] is None
        if kind not in FROZEN and not lacking:
            billing.lift_hold(
                source_ref=f"{_PREFIX}{mapping_id}",
                engagement_key=engagement_key,
                why=f"The engagement no longer uses this mapping of {source}.",
            )


def held_for_value(kind: str, source: str, legal_entity_id: int | None) -> list[str]:
    """Engagements whose drafts a mapping of this value holds, or whose items have no tax code (in this legal entity; None: in
    all)."""
    refs = [f"{_PREFIX}{mapping_id}" for mapping_id in governance.mappings_of(kind, source)]
    found = set(billing_selectors.engagements_held_by(refs))
    if kind == "tax_code":
        found |= set(billing_selectors.engagements_lacking("TAX-CODE", legal_entity_id))
    return sorted(found)
