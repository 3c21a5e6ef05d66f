"""The check before closing: would this deal provision? Asked by the CRM while the deal is still open.

Public surface: :func:`deal_validate`. It gathers and plans the deal as if it were won, and the customer with it where the deal
would ask for it; nothing is written anywhere.
"""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeout
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import Any

from django.db import connections

from apps.canonical.objects import Deal
from apps.connectors.spi import AdapterError
from apps.core import correlation
from apps.core.errors import NotFound, Unavailable
from apps.organization import selectors as organization
from apps.sync.flows import customer as customer_flow
from apps.sync.flows import deal as deal_flow
from apps.sync.flows.base import Context
from apps.sync.plans import Draft, shown


@dataclass(frozen=True)
class _Checked:
    """The deal as it was found (``None``: the CRM has no such deal), what would be done, and how old the oldest source is."""

    deal: Deal | None
    draft: Draft
    as_of: datetime
    live: bool
    account_seen: bool


def deal_validate(
    *,
    system_code: str,
    deal_id: str | None = None,
    deal: Deal | None = None,
    deadline_seconds: float = 2.0,
    only_entity: str = "",
) -> dict[str, Any]:
    """Would this deal provision? ``problems`` and ``actions`` are those of the deal and of its customer.

    Within the deadline the answer is ``live``; past it (or when a system cannot be reached) it comes from the records, and
    ``as_of`` is when the oldest of them had been seen. Raises :class:`NotFound` for an unknown deal, :class:`Unavailable` when
    neither source answers. Who asks for ``only_entity`` is answered about another entity's deal as if there were none."""
    system = organization.system(system_code)
    if system is None or system.kind != "crm":
        raise NotFound(f"There is no CRM “{system_code}”.")
    key = f"{system_code}:{deal_id or (deal.key.partition(':')[2] if deal else '')}"
    checked = _within(deadline_seconds, key, deal) or _from_records(key, deal, only_entity)
    checked = _seen_by(only_entity, checked)
    if checked.deal is None:
        raise NotFound(f"There is no deal {deal_id} in {system.name}.")
    return {
        "ok": not checked.draft.problems,
        "as_of": checked.as_of,
        "live": checked.live,
        "actions": shown(checked.draft),
        "problems": [asdict(problem) for problem in checked.draft.problems],
        "digest": checked.draft.digest,
        "legal_entity_code": checked.deal.legal_entity_code,
    }


def _within(seconds: float, key: str, deal: Deal | None) -> _Checked | None:
    """The live answer, or None when it does not come in time."""
    context = Context(key=key, deadline=time.monotonic() + seconds)
    pool = ThreadPoolExecutor(max_workers=1)
    try:
        return pool.submit(_check_apart, context, deal, correlation.current()).result(timeout=seconds)
    except (FutureTimeout, AdapterError):
        return None
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def _seen_by(entity: str, checked: _Checked) -> _Checked:
    foreign = entity and checked.deal is not None and checked.deal.legal_entity_code != entity
    return replace(checked, deal=None) if foreign else checked


def _from_records(key: str, deal: Deal | None, only_entity: str) -> _Checked:
    checked = _seen_by(only_entity, _check(Context(key=key, live=False), deal))
    if checked.deal is None:
        raise Unavailable("The CRM did not answer in time and this deal has not been seen before.")
    if not checked.account_seen:
        raise Unavailable("The CRM did not answer in time and this deal's account has not been seen before.")
    return checked


def _check_apart(context: Context, deal: Deal | None, correlation_id: str) -> _Checked:
    """In a thread of its own, so that a slow system cannot hold the request; the thread closes its own connections."""
    try:
        with correlation.bind(correlation_id):
            return _check(context, deal)
    finally:
        connections.close_all()


def _check(context: Context, deal: Deal | None) -> _Checked:
    snapshot = _gather(context, deal)
    if snapshot.deal is None:
        return _Checked(None, Draft(()), snapshot.as_of, context.live, account_seen=False)
    draft = _with_customer(context, deal_flow.plan(deal_flow.as_won(snapshot)))
    return _Checked(
        deal=snapshot.deal,
        draft=draft,
        as_of=context.oldest(snapshot.as_of),
        live=context.live,
        account_seen=not snapshot.deal.customer_key or snapshot.customer is not None,
    )


def _gather(context: Context, deal: Deal | None) -> deal_flow.DealSnapshot:
    if deal is None:
        return deal_flow.gather(context)
    system, external_id = context.key.split(":", 1)
    return deal_flow.gather_deal(
        context, system=organization.system(system), external_id=external_id, deal=deal
    )


def _with_customer(context: Context, draft: Draft) -> Draft:
    """The deal's plan with the customer's where it asks for it: a duplicate stops the deal as surely as its own faults."""
    actions, problems = [], list(draft.problems)
    for action in draft.actions:
        actions.append(action)
        if (action.kind, action.operation) == ("child", customer_flow.FLOW.name):
            below = customer_flow.gather(replace(context, key=action.key, params=dict(action.values)))
            planned = customer_flow.plan(below)
            actions += planned.actions
            problems = [*planned.problems, *problems]
    return replace(draft, actions=tuple(actions), problems=tuple(problems))
