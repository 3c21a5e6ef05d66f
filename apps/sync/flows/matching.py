"""The match ladder: which record of the ERP a customer is.

Public surface: :func:`climb`, :func:`candidate_of`, :func:`push_key`, :func:`normal_name`, :class:`Candidate`.
Rungs, in order: our external key, the id that the CRM claims, the tax id in the same country (these link by themselves when
exactly one record is found); registration number, domain, similar name (these only suggest, a person decides).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from rapidfuzz import fuzz

from apps.canonical.objects import Customer
from apps.connectors.spi import Observed
from apps.sync.flows import base
from apps.sync.flows.base import Context

#: Rungs that link by themselves, in order; then rungs that only suggest.
EXACT = ("key", "claimed_id", "tax_id")
SUGGEST = ("registration", "domain", "name")
SIMILAR_ENOUGH = 88.0
_LEGAL_FORM = re.compile(
    r"\b(ltd|limited|plc|inc|llc|corp|corporation|bv|nv|sa|sas|gmbh|ag|ab|as|oy|spa|srl)\b\.?", re.I
)


@dataclass(frozen=True)
class Candidate:
    """An ERP record that may be this customer. ``rung`` says why; ``score`` is 0 to 100."""

    rung: str
    score: float
    external_id: str
    name: str
    url: str
    inactive: bool


def push_key(customer_key: str) -> str:
    """Our external key of a customer in a vendor system: letters, digits, ``-`` and ``_`` only (NetSuite's eid rule)."""
    return "cus-" + re.sub(r"[^A-Za-z0-9_-]", "-", customer_key)


def climb(
    context: Context, erp: Any, customer: Customer
) -> tuple[str, tuple[Observed, ...], tuple[Candidate, ...]]:
    """The rung that found records exactly and these records, or ("" and) the candidates that a person chooses from.

    Asked about systems that cannot be reached (``context.live`` false), the records say what was seen of them. Raises
    ``AdapterError``."""
    looked_for = {
        "key": push_key(customer.key),
        "claimed_id": customer.claimed_erp_id,
        "tax_id": customer.tax_id,
        "registration": customer.registration_number,
        "domain": _domain(customer),
        "name": customer.name,
    }
    for rung in EXACT:
        found = _look(context, erp, rung, looked_for[rung], customer)
        if found:
            return rung, found, ()
    suggested: dict[str, Candidate] = {}
    for rung in SUGGEST:
        for seen in _look(context, erp, rung, looked_for[rung], customer):
            candidate = candidate_of(rung, seen, customer)
            if candidate.score >= SIMILAR_ENOUGH or rung == "registration":
                suggested.setdefault(candidate.external_id, candidate)
    return "", (), tuple(sorted(suggested.values(), key=lambda c: (-c.score, c.external_id)))


def _look(context: Context, erp: Any, rung: str, value: str, customer: Customer) -> tuple[Observed, ...]:
    if not value:
        return ()
    country = customer.billing_address.country or ""
    if context.live:
        found = base.read_many(
            context, system=erp, object_type="customer", by=rung, value=value, extra={"country": country}
        )
    else:
        found = base.seen_many(context, system=erp, object_type="customer", by=rung, value=value)
    if rung in ("key", "claimed_id") or not country:
        return tuple(found)
    return tuple(seen for seen in found if seen.body.billing_address.country in (None, country))  # type: ignore[attr-defined]


def candidate_of(rung: str, seen: Observed, customer: Customer) -> Candidate:
    name = seen.body.name  # type: ignore[attr-defined]
    score = round(fuzz.token_sort_ratio(normal_name(customer.name), normal_name(name)), 1)
    return Candidate(rung, score, seen.external_id, name, seen.url, bool(seen.facts.get("inactive")))


def normal_name(name: str) -> str:
    """Lower case without legal form and punctuation: ``Corvane Insurance Ltd.`` → ``corvane insurance``."""
    return " ".join(re.sub(r"[^\w\s]", " ", _LEGAL_FORM.sub(" ", name.lower())).split())


def _domain(customer: Customer) -> str:
    site = re.sub(r"^https?://(www\.)?", "", customer.website.strip().lower()).split("/")[0]
    return site or customer.email.rpartition("@")[2].lower()
