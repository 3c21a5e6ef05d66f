"""Brings the demo firm to life: enters its deals, lets the engine work, and does what its people and clients would do.

Public surface: :func:`seed`, :func:`seeded`. Each stage looks at what is there and does the rest, so that an interrupted
seeding goes on where it stopped; a finished one is remembered in the audit trail and not looked at again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from datetime import date
from decimal import Decimal
from typing import Any

from apps.billing import services as billing
from apps.canonical.money import Money
from apps.commercial import selectors as commercial
from apps.core import clock
from apps.core.scope import EVERYTHING
from apps.demo import deals, firm, psa, situations
from apps.demo.patience import idle, wait_for
from apps.demo.people import bills_by_name, controller_of, sign
from apps.demo.portfolio import Deal, healthy
from apps.demo.sandbox_client import SandboxControl
from apps.journal import selectors as journal_selectors
from apps.journal import services as journal
from apps.organization import selectors as organization
from apps.sync import selectors as sync
from apps.triage import selectors as triage

#: What is open at the end, by catalogue code.
OPEN_CASES = {
    "DEAL-SVC-UNMAPPED": 6,
    "CUS-DUP": 1,
    "AMD-UNAPPROVED": 1,
    "MS-NO-EVIDENCE": 1,
    "CAP-EXCEEDED": 1,
    "TIME-UNAPPROVED": 2,
    "INV-PERIOD": 1,
    "PAY-SHORT": 1,
}
MARK = ("demo", "firm")
#: Situations whose prebill goes through all hands, beside the healthy ones.
SIGNED_SITUATIONS = (situations.LOST_ANSWER, situations.CLOSED_PERIOD, situations.SHORT_PAID)
BEYOND_DRAFT = ("pm_approved", "approved", "posted", "issued", "part_paid", "paid")
BEYOND_FINANCE = BEYOND_DRAFT[1:]
Say = Callable[[str], None]


def seeded() -> bool:
    """The firm has been brought to life on this data before."""
    return any(row.verb == "demo.seeded" for row in journal_selectors.history(*MARK, limit=20))


def today_everywhere() -> date:
    """The day that has begun in every legal entity: what is due today is due for all of them, whatever the hour in UTC."""
    return min(clock.today(entity.timezone) for entity in organization.entities())


def seed(*, control: SandboxControl, today: date, say: Say) -> None:
    """All stages; ``say`` hears what is done. Raises ``TookTooLong`` when the engine does not come to rest."""
    portfolio = healthy()
    _twins(control)
    say(f"entering {len(portfolio) + len(situations.all_specs())} deals")
    _close_deals(control, portfolio, today)
    say("delivering: milestones are accepted, time is booked")
    _deliver(control, portfolio, today)
    _amend(control, today)
    _wait_for_drafts(portfolio)
    say("project managers and finance approve")
    _sign_for_delivery(portfolio)
    _sign_for_finance(control, portfolio)
    say("customers pay")
    _pay(control, portfolio)
    _closed_period(control)
    wait_for("The cases of the demo", _cases_missing, seconds=60)
    journal.record(
        verb="demo.seeded", object_type=MARK[0], object_ref=MARK[1], why="Set up with the demo firm."
    )


# ---- selling ---------------------------------------------------------------------------------------------------------


def _twins(control: SandboxControl) -> None:
    if not control.records("erp", "customer", vatRegNumber=firm.client("corvane").tax_id):
        currency = control.system("erp").record("currency", symbol="GBP")["id"]
        records = [{**row, "currency": {"id": currency}} for row in situations.dormant_twins()]
        control.seed({"erp": {"customer": records}})


def _close_deals(control: SandboxControl, portfolio: Sequence[Deal], today: date) -> None:
    specs = [*(deal.spec for deal in portfolio), *situations.all_specs()]
    ids = deals.enter_all(control, specs, today=today)
    stages = deals.stage_of(control)
    for deal_id in ids.values():
        if stages[deal_id] != "Closed Won":
            deals.close(control, deal_id)
    held = {spec.name for spec in (*situations.UNMAPPED, *situations.TWINS)}
    expected = {f"crm:{deal_id}": name for name, deal_id in ids.items() if name not in held}

    def missing() -> list[str]:
        active = set(
            commercial.engagements(EVERYTHING).filter(state="active").values_list("deal_key", flat=True)
        )
        return [name for key, name in expected.items() if key not in active]

    wait_for("Provisioning", missing)


# ---- delivery --------------------------------------------------------------------------------------------------------


def _deliver(control: SandboxControl, portfolio: Sequence[Deal], today: date) -> None:
    _opening(situations.CAPPED.name, situations.CAPPED_BEFORE)
    sheets = [
        psa.Sheet(
            deal.spec.name, deal.spec.lines[0].service, "Consultant", Decimal(deal.hours), person=number % 4
        )
        for number, deal in enumerate(portfolio)
        if deal.hours
    ]
    psa.book(control, [*sheets, *situations.CAPPED_TIME], psa.days_before(today, 10))
    psa.book(control, situations.UNAPPROVED_TIME, psa.month_before(today))
    for number, deal in enumerate(portfolio, start=1):
        entry = next((entry for entry in deal.spec.schedule if entry.days is None), None)
        if deal.billed and entry is not None:
            psa.accept_milestone(control, deal.spec.name, entry.label, certificate=f"CERT-{2600 + number}")
    psa.accept_milestone(
        control, situations.NO_EVIDENCE.name, situations.NO_EVIDENCE_MILESTONE, certificate=""
    )


def _opening(name: str, billed: Decimal) -> None:
    """What had been billed before the console went live."""
    row = commercial.engagements(EVERYTHING).get(name=name)
    billing.opening_set(engagement_key=row.key, billed=Money.of(billed, row.currency))


def _amend(control: SandboxControl, today: date) -> None:
    """Sales adds scope to a deal that is provisioned already."""
    spec, (line, entry) = situations.AMENDED, situations.AMENDMENT
    [row] = control.records("crm", "Opportunity", Name=spec.name)
    if control.records("crm", "OpportunityLineItem", OpportunityId=row["Id"], ProductCode=line.service):
        return
    added = deals.line_record(line, row["Id"], currency=spec.currency, number=2, model="instalment")
    due = deals.schedule_record(entry, row["Id"], service=line.service, number=3, today=today)
    control.seed({"crm": {"OpportunityLineItem": [added], "Billing_Schedule__c": [due]}})
    control.patch("crm", "Opportunity", row["Id"], {"Amount": float(spec.amount + line.amount)})


def first_bill(deal: Deal) -> Decimal:
    """Net of what a deal's first draft holds: what is due today, the first milestone, the hours booked."""
    schedule = deal.spec.schedule
    due = sum((entry.amount for entry in schedule if entry.days == 0), Decimal(0))
    accepted = next((entry.amount for entry in schedule if entry.days is None), Decimal(0))
    rate = Decimal(deal.spec.rates.get("Consultant", "0"))
    return due + accepted + deal.hours * rate


def _wait_for_drafts(portfolio: Sequence[Deal]) -> None:
    expected = {deal.spec.name: first_bill(deal) for deal in portfolio if deal.billed}
    expected |= {spec.name: spec.amount for spec in SIGNED_SITUATIONS}

    def missing() -> list[str]:
        bills = bills_by_name()
        return [
            f"{name} ({bills[name].net if name in bills else 'no draft'} of {net})"
            for name, net in expected.items()
            if name not in bills or bills[name].net != net
        ]

    wait_for("Drafts", missing)
    wait_for("The engine's rest", idle)


# ---- signing, posting, paying ----------------------------------------------------------------------------------------


def _sign_for_delivery(portfolio: Sequence[Deal]) -> None:
    bills = bills_by_name()
    specs = [deal.spec for deal in portfolio if deal.stage in ("signed", "issued", "paid")]
    for spec in (*specs, *SIGNED_SITUATIONS):
        if bills[spec.name].state == "draft":
            sign(bills[spec.name], spec.project_manager, "Delivered as agreed.")


def _sign_for_finance(control: SandboxControl, portfolio: Sequence[Deal]) -> None:
    bills = bills_by_name()
    specs = [deal.spec for deal in portfolio if deal.stage in ("issued", "paid")]
    specs += [situations.LOST_ANSWER, situations.SHORT_PAID]
    lost = bills[situations.LOST_ANSWER.name]
    if lost.state == "pm_approved":
        # The ERP posts it, but its answer never arrives: the engine has to look whether it happened.
        invoice = control.system("erp").record("invoice", externalId=lost.ref)
        control.fault("erp", "hang_after", method="PATCH", path=f"/invoice/{invoice['id']}$", seconds=1)
    for spec in specs:
        if bills[spec.name].state == "pm_approved":
            sign(bills[spec.name], controller_of(spec.entity), "Lines, PO and tax checked.")
    _wait_for_state([spec.name for spec in specs], ("issued", "part_paid", "paid"), "Issuing")


def _pay(control: SandboxControl, portfolio: Sequence[Deal]) -> None:
    bills = bills_by_name()
    requests = {
        row["metadata"].get("pssync_key"): row
        for row in control.records("billing", "invoice")
        if row["status"] == "open"
    }
    payers = [deal.spec.name for deal in portfolio if deal.stage == "paid"]
    for name in payers:
        if bills[name].state == "issued" and bills[name].ref in requests:
            control.pay(requests[bills[name].ref]["id"])
    short = bills[situations.SHORT_PAID.name]
    if short.state == "issued" and short.ref in requests:
        asked = requests[short.ref]
        control.pay(asked["id"], amount=int(asked["amount_due"]) - int(situations.SHORT_BY * 100))
    _wait_for_state(payers, ("paid",), "Payments")
    _wait_for_state([situations.SHORT_PAID.name], ("part_paid",), "The short payment")


def _closed_period(control: SandboxControl) -> None:
    """The accountant closes the period before an approved invoice is posted, and opens it again for what comes later. It is
    the period of the entity's own day, which another entity's may not have reached."""
    spec = situations.CLOSED_PERIOD
    [zone] = [entity.timezone for entity in organization.entities() if entity.code == spec.entity]
    today = clock.today(zone)
    bill = bills_by_name()[spec.name]
    if bill.state != "pm_approved":
        return
    wait_for("The engine's rest", idle)
    period = next(
        row
        for row in control.records("erp-be", "accountingPeriod")
        if row["startDate"] <= today.isoformat() <= row["endDate"]
    )
    control.patch("erp-be", "accountingPeriod", period["id"], {"closed": True})
    try:
        sign(bill, controller_of(spec.entity), "Lines and tax checked.")
        wait_for("The refused invoice", lambda: [] if _open("INV-PERIOD") else [spec.name], seconds=60)
    finally:
        control.patch("erp-be", "accountingPeriod", period["id"], {"closed": False})


def _wait_for_state(names: Sequence[str], states: Sequence[str], what: str) -> None:
    def missing() -> list[str]:
        bills = bills_by_name()
        return [f"{name} ({bills[name].state})" for name in names if bills[name].state not in states]

    wait_for(what, missing)


# ---- what is left for people -----------------------------------------------------------------------------------------


def _open(code: str) -> int:
    return triage.open_cases(EVERYTHING).filter(code=code).count()


def _cases_missing() -> list[str]:
    """Differences between the open cases and those of the demo, and a lost answer that was not found again."""
    found = Counter(triage.open_cases(EVERYTHING).values_list("code", flat=True))
    left = [
        f"{code} ({found[code]} of {OPEN_CASES.get(code, 0)})"
        for code in sorted(set(found) | set(OPEN_CASES))
        if found[code] != OPEN_CASES.get(code, 0)
    ]
    if not triage.cases(EVERYTHING).filter(code="INV-UNKNOWN", state="resolved").exists():
        left.append("INV-UNKNOWN (not resolved)")
    return left


def summary() -> dict[str, Any]:
    """Figures for the end of the command: engagements, transactions, prebills by state, open cases by code."""
    return {
        "engagements": commercial.engagements(EVERYTHING).count(),
        "transactions": sync.transactions(EVERYTHING).count(),
        "prebills": Counter(str(row.state) for row in bills_by_name().values()),
        "cases": triage.open_count(EVERYTHING),
    }
