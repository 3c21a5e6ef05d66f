"""What the word of the project system makes of an item, in memory: the same for taking it over and for looking ahead.

Public surface: :class:`Word` and its makers :func:`milestone_word`, :func:`time_word`, :func:`gone_word`; :func:`heard` with
:class:`Verdict`; :data:`FOLLOWED`, :func:`item_of_milestone`, :func:`source_of`. Nothing is written here.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import date
from enum import Enum
from functools import partial
from typing import Any

from django.utils.translation import gettext as _

from apps.billing.models import IN_REVIEW, BillableItem, BillingAccount, ItemKind, ItemState, Prebill
from apps.canonical import objects
from apps.canonical.money import Money
from apps.commercial import selectors as commercial

#: What the open parts of a milestone take over from it.
FOLLOWED = ("source", "source_digest", "final_at", "event_on")
#: In place of a digest: no content of a source has it.
_GONE = "gone"


class Verdict(Enum):
    """``KNOWN``: nothing new. ``TOLD``: it is billed, so the item only remembers it. ``NEW``: the item follows."""

    KNOWN = "known"
    TOLD = "told"
    NEW = "new"


@dataclass(frozen=True)
class Word:
    """What the source says about one item of this engagement.

    An item that follows leaves its draft (``why``), takes it over by ``fill(item)`` and comes to ``state``, its parts being
    merged into it; None leaves it where it is, and its open parts follow. ``out`` is why it is not billed. What is billed
    remembers ``said`` and is told under ``code`` with ``sentence(item, prebill)``.
    """

    engagement_key: str
    said: dict[str, Any]
    digest: str
    code: str
    sentence: Callable[[BillableItem, Prebill], str]
    fill: Callable[[BillableItem], None]
    why: str
    state: ItemState | None = None
    out: str = ""
    #: Parts of ``said`` that are no news of the work, but are kept as they are now while the item is open.
    beside: tuple[str, ...] = ()


def heard(item: BillableItem, parts: Iterable[BillableItem], word: Word) -> Verdict:
    """Whether the word is news for the item. On what both have approved (or a part of it) it leaves a mark, in memory, until
    the source says again what was billed."""
    here = item.engagement_key == word.engagement_key
    edited = item.source.get("edited")
    if here and item.source_digest == word.digest and not edited:
        if item.state in (ItemState.PENDING, ItemState.READY):
            _keep_beside(item, word)
        return Verdict.KNOWN
    bill = next((one.prebill for one in (item, *parts) if _is_signed(one)), None)
    if bill is None:
        return Verdict.NEW
    if not here:
        word = gone_word(item)  # from the engagement that billed it
    if edited == word.said:
        return Verdict.KNOWN
    _mark(item, bill, word)
    return Verdict.TOLD


def _keep_beside(item: BillableItem, word: Word) -> None:
    now = {name: word.said[name] for name in word.beside}
    if any(item.source.get(name) != value for name, value in now.items()):
        item.source = {**item.source, **now}


def _is_signed(item: BillableItem) -> bool:
    """Whether its own line is on a prebill that both have approved."""
    return item.prebill is not None and item.prebill.state not in IN_REVIEW


def _mark(item: BillableItem, bill: Prebill, word: Word) -> None:
    if word.digest == item.source_digest:
        item.source = _without(item.source, "edited")
        item.blockers = []
        return
    item.source = {**item.source, "edited": word.said}
    item.blockers = [
        {
            "predicate": "source",
            "code": word.code,
            "reason": word.sentence(item, bill),
            "field": "source",
            "value": item.source_key,
            "params": {"billed": str(Money.of(item.known_amount, item.currency))},
        }
    ]


# ---- Milestones ------------------------------------------------------------------------------------------------------
def item_of_milestone(
    mine: Iterable[BillableItem], account: BillingAccount, milestone: objects.Milestone
) -> BillableItem:
    """The item of this key, else the one milestone of this name, else a new one that the contract does not know."""
    candidates = list(mine)
    found = next((item for item in candidates if item.source_key == milestone.key), None)
    if found is None:
        named = [
            item
            for item in candidates
            if item.kind == ItemKind.MILESTONE and item.description == milestone.name
        ]
        found = named[0] if len(named) == 1 else None
    return found or BillableItem(
        legal_entity_id=account.legal_entity_id,
        engagement_key=account.engagement_key,
        kind=ItemKind.MILESTONE,
        source_key=milestone.key,
        service_code=milestone.service_code,
        description=milestone.name,
        unit_price=milestone.amount.amount,
        amount=milestone.amount.amount,
        currency=milestone.amount.currency,
        source={"in_terms": False},
    )


def milestone_word(item: BillableItem, milestone: objects.Milestone) -> Word:
    """The amount stays the contract's."""
    said = milestone.model_dump(mode="json")
    digest = _digest([said[name] for name in ("amount", "status", "evidence", "accepted_at")])
    return Word(
        engagement_key=item.engagement_key,
        said=said,
        digest=digest,
        code="MS-CHANGED",
        sentence=partial(_milestone_sentence, milestone),
        fill=partial(_fill_milestone, milestone, said, digest),
        why=_("“%(what)s” changed.") % {"what": item.description},
    )


def _fill_milestone(
    milestone: objects.Milestone, said: dict[str, Any], digest: str, item: BillableItem
) -> None:
    accepted = milestone.accepted_at if milestone.status == "accepted" else None
    item.source = {**_without(item.source, "gone"), "milestone": said}
    item.source_digest = digest
    item.final_at = accepted
    item.event_on = accepted.date() if accepted else milestone.due_on


def _milestone_sentence(milestone: objects.Milestone, item: BillableItem, bill: Prebill) -> str:
    return _(
        "“%(what)s” is on %(prebill)s with %(billed)s; the project system now says %(now)s, %(status)s."
    ) % {
        "what": item.description,
        "prebill": bill,
        "billed": Money.of(item.known_amount, item.currency),
        "now": milestone.amount,
        "status": milestone.status,
    }


# ---- Time ------------------------------------------------------------------------------------------------------------
def time_word(
    account: BillingAccount, entry: objects.TimeEntry, rates: Callable[[], commercial.Resolver]
) -> Word:
    """``rates`` gives the resolver of the account's engagement; it is asked for only when the entry is priced."""
    said = entry.model_dump(mode="json")
    names = ("person", "role", "service_code", "worked_on", "hours", "billable", "status")
    digest = _digest([said[name] for name in names])
    wanted = entry.billable and entry.status != "rejected"
    return Word(
        engagement_key=account.engagement_key,
        said=said,
        digest=digest,
        code="TIME-EDITED",
        sentence=partial(_time_sentence, entry),
        fill=partial(_fill_time, account, entry, said, digest, rates),
        why=_("The time entry was changed at its source."),
        state=ItemState.PENDING if wanted else ItemState.EXCLUDED,
        out="" if wanted else _("Not billable at its source."),
        beside=("rate", "notes"),
    )


def _fill_time(
    account: BillingAccount,
    entry: objects.TimeEntry,
    said: dict[str, Any],
    digest: str,
    rates: Callable[[], commercial.Resolver],
    item: BillableItem,
) -> None:
    answer = rates()(entry.role, entry.service_code, entry.worked_on, entry.person)
    found = answer if isinstance(answer, commercial.RateAnswer) else None
    item.legal_entity_id = account.legal_entity_id
    item.engagement_key, item.currency = account.engagement_key, account.currency
    item.service_code, item.role, item.person = entry.service_code, entry.role, entry.person
    item.quantity, item.event_on = entry.hours, entry.worked_on
    item.description = _time_text(entry)
    item.final_at = entry.approved_at if entry.status == "approved" else None
    item.rate_trace = list(answer.trace)
    item.unit_price = found.hourly.amount if found else None
    item.amount = found.amount_for(entry.hours).amount if found else None
    item.source, item.source_digest = said, digest


def _time_text(entry: objects.TimeEntry) -> str:
    who = " · ".join(part for part in (entry.person, entry.role) if part)
    text = f"{entry.worked_on.isoformat()} {who}"
    return f"{text}: {entry.notes}"[:500] if entry.notes else text[:500]


def _time_sentence(entry: objects.TimeEntry, item: BillableItem, bill: Prebill) -> str:
    return _(
        "%(what)s is on %(prebill)s with %(billed)s h; the time sheet now says %(now)s h, %(status)s."
    ) % {
        "what": item.person or item.role,
        "prebill": bill,
        "billed": f"{item.quantity.normalize():f}",
        "now": f"{entry.hours.normalize():f}",
        "status": entry.status,
    }


# ---- What is gone ----------------------------------------------------------------------------------------------------
def source_of(item: BillableItem) -> str:
    """The key under which the project system showed the item, "" when it never did (or no longer does)."""
    if item.kind == ItemKind.TIME:
        return item.source_key
    return str((item.source.get("milestone") or {}).get("key") or "")


def gone_word(item: BillableItem) -> Word:
    """The project system has the item no more. A milestone of the contract waits for an acceptance that cannot be shown now;
    anything else is not billed."""
    agreed = item.kind != ItemKind.TIME and bool(item.source.get("schedule"))
    return Word(
        engagement_key=item.engagement_key,
        said={"gone": True},
        digest=_GONE,
        code="TIME-EDITED" if item.kind == ItemKind.TIME else "MS-CHANGED",
        sentence=_gone_sentence,
        fill=_open_again if agreed else _fill_gone,
        why=_("It was deleted in the project system."),
        state=None if agreed else ItemState.EXCLUDED,
        out="" if agreed else _("Deleted in the project system."),
    )


def _open_again(item: BillableItem) -> None:
    due_on = item.source["schedule"].get("due_on")
    told = {"gone": True} if item.kind == ItemKind.MILESTONE else {}
    item.source = _without(item.source, "milestone") | told
    item.source_digest, item.final_at = _GONE, None
    item.event_on = date.fromisoformat(due_on) if due_on else None


def _fill_gone(item: BillableItem) -> None:
    item.source_digest = _GONE


def _gone_sentence(item: BillableItem, bill: Prebill) -> str:
    return _("%(what)s is on %(prebill)s with %(billed)s; the project system has deleted it.") % {
        "what": item.description,
        "prebill": bill,
        "billed": Money.of(item.known_amount, item.currency),
    }


def _without(source: dict[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in source.items() if key != name}


def _digest(values: list[Any]) -> str:
    return hashlib.sha256(json.dumps(values, separators=(",", ":")).encode()).hexdigest()
