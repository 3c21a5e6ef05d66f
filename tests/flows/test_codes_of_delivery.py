"""Each trouble of delivered work, as it arises in the project system, is told by its code; correcting it there closes it."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from apps.canonical.money import Money
from apps.canonical.objects import RateLine
from apps.commercial import selectors as commercial
from apps.commercial import services as commercial_services
from apps.core import clock
from apps.demo import deals, psa
from apps.organization import selectors as organization
from apps.triage.models import Case
from tests.flows import acts
from tests.flows.bench import Bench

TIME = ("psa", "time_entry")
BY_THE_HOUR = deals.DealSpec(
    name="By the hour",
    client="corvane",
    entity="MER-UK",
    billing_model="time_and_materials",
    lines=(deals.Line("ANA-220", Decimal("9000")),),
    rates={"Manager": "180"},
    start_days=-75,
)
#: A role that only the project system knows.
ROLE = "77"


@pytest.fixture(scope="module", autouse=True)
def people(bench: Bench) -> None:
    """One role without any price, and prices that begin later, are in euro, or contradict each other."""
    bench.control.seed(
        {
            "psa": {
                "roles": [
                    {"id": str(int(ROLE) + number), "name": name}
                    for number, name in enumerate(("Wizard", "Coach", "Interpreter"))
                ]
            }
        }
    )
    today = clock.today()

    def price(amount: str, currency: str = "GBP", **fields: str) -> RateLine:
        return RateLine(unit="hour", bill_rate=Money.of(amount, currency), **fields)

    cards = (
        ("GBP", today + timedelta(days=30), (price("150", role="Coach"),)),
        ("EUR", today - timedelta(days=80), (price("90", "EUR", role="Interpreter"),)),
        (
            "GBP",
            today - timedelta(days=80),
            (
                price("210", resource="Ben Osei", service_code="ANA-220"),
                price("220", resource="Ben Osei", role="Analyst"),
            ),
        ),
    )
    for currency, start, lines in cards:
        commercial_services.entity_ratecard_set(
            legal_entity=organization.entity("MER-UK"),
            name="Special prices",
            currency=currency,
            lines=lines,
            effective_from=start,
        )


class Worked:
    """An engagement billed by the hour unless ``spec`` says otherwise, and the time that was booked on it."""

    def __init__(self, bench: Bench, spec: deals.DealSpec = BY_THE_HOUR, **account: Any) -> None:
        self.bench = bench
        self.account = bench.account(**account)
        self.deal_id = bench.win(spec, account=self.account)
        self.row = commercial.engagement_by_deal(f"crm:{self.deal_id}")
        self.workspace = psa.workspace_of(bench.control, self.row.name)

    def book(self, *entries: dict[str, Any], service: str = "ANA-220") -> list[str]:
        """Entries of eight hours of the manager Ana Vidal on the last working day, each with these changes."""
        sheet = psa.Sheet(self.row.name, service, "Manager", Decimal(8), Decimal(8))
        day = psa.days_before(clock.today(), 1)
        psa.book(self.bench.control, [sheet], day)
        [first] = self.bench.control.records("psa", "time_entries", workspace_id=self.workspace)
        names = (
            "workspace_id", "story_id", "user_id", "role_id", "date_performed", "time_in_minutes", "billable", "approved",
        )  # fmt: skip
        record = {name: first[name] for name in names}
        self.bench.control.patch("psa", "time_entries", first["id"], entries[0])
        made = [
            self.bench.control.create("psa", "time_entries", record | changes)["id"]
            for changes in entries[1:]
        ]
        self.bench.poll(TIME)
        return [first["id"], *made]

    def change(self, entry: str, **fields: Any) -> None:
        self.bench.control.patch("psa", "time_entries", entry, fields)
        self.bench.poll(TIME)

    @property
    def cases(self) -> list[tuple[str, str]]:
        return self.bench.cases(self.row.key)


@pytest.mark.parametrize(
    ("code", "wrong", "right"),
    [
        pytest.param(
            "RES-ROLE-NO-RATE",
            {"role_id": ROLE},
            {"role_id": psa.ROLE_IDS["Manager"]},
            marks=pytest.mark.provokes("RES-ROLE-NO-RATE"),
        ),
        pytest.param(
            "RATE-GAP",
            {"role_id": "78"},
            {"role_id": psa.ROLE_IDS["Manager"]},
            marks=pytest.mark.provokes("RATE-GAP"),
        ),
        pytest.param(
            "RATE-CCY",
            {"role_id": "79"},
            {"role_id": psa.ROLE_IDS["Manager"]},
            marks=pytest.mark.provokes("RATE-CCY"),
        ),
        pytest.param(
            "RATE-OVERLAP",
            {"role_id": psa.ROLE_IDS["Analyst"], "user_id": str(psa.FIRST_USER + 1)},
            {"user_id": str(psa.FIRST_USER)},
            marks=pytest.mark.provokes("RATE-OVERLAP"),
        ),
        pytest.param(
            "TIME-OUTSIDE",
            {"date_performed": "2020-01-06"},
            {"date_performed": "today"},
            marks=pytest.mark.provokes("TIME-OUTSIDE"),
        ),
        pytest.param(
            "TIME-UNAPPROVED",
            {"approved": False, "date_performed": "last month"},
            {"approved": True},
            marks=pytest.mark.provokes("TIME-UNAPPROVED"),
        ),
        pytest.param(
            "RATE-MISMATCH",
            {"rate_in_cents": 19_200, "approved": False, "date_performed": "today"},
            {"rate_in_cents": 18_000, "approved": False},
            marks=pytest.mark.provokes("RATE-MISMATCH"),
        ),
    ],
)
def test_a_trouble_of_an_entry_is_a_case_until_the_entry_is_corrected(
    bench: Bench, code: str, wrong: dict[str, Any], right: dict[str, Any]
):
    days = {
        "today": clock.today().isoformat(),
        "last month": psa.month_before(clock.today())[-1].isoformat(),
    }
    worked = Worked(bench)
    [entry] = worked.book({name: days.get(str(value), value) for name, value in wrong.items()})
    assert worked.cases == [(code, "open")]
    worked.change(entry, **{name: days.get(str(value), value) for name, value in right.items()})
    assert worked.cases == [(code, "resolved")]


@pytest.mark.provokes("BILL-RULE-MISSING")
def test_work_on_a_service_that_was_not_sold_is_not_billed(bench: Bench):
    worked = Worked(bench)
    worked.book({}, service="INT-230")
    assert worked.cases == [("BILL-RULE-MISSING", "open")]
    assert worked.row.key not in {one.engagement_key for one in acts.prebills()}


@pytest.mark.provokes("TIME-DUP")
def test_an_entry_that_was_imported_twice_is_billed_once(bench: Bench):
    worked = Worked(bench)
    _first, second = worked.book({"notes": "Workshop on ledgers"}, {"notes": "Workshop on ledgers"})
    assert worked.cases == [("TIME-DUP", "open")]
    [prebill] = [one for one in acts.prebills() if one.engagement_key == worked.row.key]
    assert prebill.net == Decimal("1440")
    bench.control.delete("psa", "time_entries", second)
    bench.poll(TIME)
    assert worked.cases == [("TIME-DUP", "resolved")]


@pytest.mark.provokes("TIME-BILLFLAG")
def test_billable_hours_on_a_milestone_are_not_billed_a_second_time(bench: Bench):
    spec = replace(
        acts.SMALL,
        lines=(deals.Line("IMP-200", Decimal("9000")), deals.Line("ANA-220", Decimal("9000"))),
        rates={"Manager": "180"},
    )
    worked = Worked(bench, spec)
    [entry] = worked.book({}, service="IMP-200")
    assert worked.cases == [("TIME-BILLFLAG", "open")]
    worked.change(entry, billable=False)
    assert worked.cases == [("TIME-BILLFLAG", "resolved")]


CAPPED = replace(BY_THE_HOUR, not_to_exceed=Decimal("1700"))


@pytest.mark.provokes("CAP-NEAR", "CAP-EXCEEDED")
def test_a_cap_is_told_before_and_when_it_is_exceeded(bench: Bench):
    worked = Worked(bench, CAPPED)
    [entry] = worked.book({})
    assert worked.cases == [("CAP-NEAR", "open")], "1,440 of 1,700"
    worked.change(entry, time_in_minutes=600)
    assert worked.cases == [("CAP-NEAR", "resolved"), ("CAP-EXCEEDED", "open")]
    worked.change(entry, time_in_minutes=240)
    assert worked.cases == [("CAP-NEAR", "resolved"), ("CAP-EXCEEDED", "resolved")]


@pytest.mark.provokes("TAX-EXEMPT")
def test_an_exemption_without_a_certificate_that_holds_is_not_billed(bench: Bench):
    worked = Worked(bench, Tax_Exempt__c=True, Exemption_Certificate__c="EX-77", Exempt_Until__c="2020-01-31")
    [entry] = worked.book({})
    assert worked.cases == [("TAX-EXEMPT", "open")]
    [found] = Case.objects.filter(code="TAX-EXEMPT", subject_key=worked.row.key)
    assert "EX-77" in found.reason
    assert "ended on 2020-01-31" in found.reason
    assert worked.row.key not in {one.engagement_key for one in acts.prebills()}
    bench.control.patch("crm", "Account", worked.account, {"Exempt_Until__c": "2099-12-31"})
    bench.poll(("crm", "customer"))
    worked.change(entry, notes="Workshop")
    assert worked.cases == [("TAX-EXEMPT", "resolved")]


@pytest.mark.provokes("TAX-RC")
def test_a_reverse_charge_without_a_vat_id_waits_for_it(bench: Bench):
    worked = Worked(
        bench, BillingCountryCode="DE", BillingCity="Bremen", BillingPostalCode="28195", Tax_Id__c=None
    )
    worked.book({})
    assert worked.cases == [("TAX-RC", "open")]
