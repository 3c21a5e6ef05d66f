"""Which rate applies: precedence, reasons, and agreement with an oracle that was written another way."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apps.commercial.resolution import Candidate, Question, RateAnswer, RateProblem, resolve

DAY = date(2026, 10, 15)


def price(line_id: int = 1, **fields) -> Candidate:
    values = {
        "line_id": line_id,
        "card": f"RC-{line_id}",
        "scope": "entity",
        "role": "Manager",
        "service_code": "",
        "resource": "",
        "blended": False,
        "unit": "hour",
        "rate": Decimal("195"),
        "currency": "GBP",
        "valid_from": date(2026, 1, 1),
        "valid_to": None,
        "hours_per_day": Decimal("7.5"),
    }
    return Candidate(**{**values, **fields})


def ask(**fields) -> Question:
    values = {
        "role": "Manager",
        "service_code": "ADV-100",
        "resource": "ana",
        "worked_on": DAY,
        "currency": "GBP",
    }
    return Question(**{**values, **fields})


@pytest.mark.parametrize(
    ("winner", "loser"),
    [
        ({"scope": "engagement"}, {"scope": "client", "service_code": "ADV-100"}),
        ({"scope": "client"}, {"scope": "entity", "role": "", "resource": "ana"}),
        ({"role": "", "resource": "ana"}, {"role": "", "blended": True}),
        ({"role": "", "blended": True}, {"service_code": "ADV-100"}),
        ({"service_code": "ADV-100"}, {}),
        ({"valid_from": date(2026, 6, 1), "service_code": ""}, {"valid_from": date(2026, 1, 1)}),
    ],
    ids=[
        "contract before client",
        "client before entity",
        "person before blended",
        "blended before role",
        "more",
        "later",
    ],
)
def test_the_more_specific_price_wins(winner, loser):
    found = resolve([price(1, **loser), price(2, **winner)], ask())
    assert isinstance(found, RateAnswer)
    assert found.line_id == 2
    assert [row["verdict"] for row in found.trace] == ["chosen", "passed"]
    assert found.trace[1]["reason"]


def test_a_day_price_becomes_hours_by_the_length_of_the_day_and_is_rounded_once():
    found = resolve([price(unit="day", rate=Decimal("1000"), hours_per_day=Decimal("7.5"))], ask())
    assert (found.unit, str(found.money), str(found.hourly)) == ("day", "GBP 1,000.00", "GBP 133.33")
    assert str(found.amount_for(Decimal("15"))) == "GBP 2,000.00"
    assert str(found.amount_for(Decimal("0.25"))) == "GBP 33.33"


def test_validity_is_half_open():
    first = price(1, valid_to=date(2026, 10, 15))
    second = price(2, valid_from=date(2026, 10, 15), rate=Decimal("201.83"))
    assert resolve([first, second], ask(worked_on=date(2026, 10, 14))).line_id == 1
    assert resolve([first, second], ask(worked_on=date(2026, 10, 15))).line_id == 2


@pytest.mark.parametrize(
    ("candidates", "code", "says"),
    [
        ([], "RES-ROLE-NO-RATE", "Manager"),
        ([price(role="Partner")], "RES-ROLE-NO-RATE", "Manager"),
        ([price(unit="month")], "RES-ROLE-NO-RATE", "Manager"),
        ([price(valid_from=date(2026, 11, 1))], "RATE-GAP", "2026-11-01"),
        ([price(currency="EUR")], "RATE-CCY", "EUR"),
        (
            [
                price(1, role="", resource="ana", service_code="ADV-100"),
                price(2, role="Manager", resource="ana"),
            ],
            "RATE-OVERLAP",
            "RC-1",
        ),
    ],
    ids=["nothing", "other role", "not time", "gap", "currency", "overlap"],
)
def test_without_one_price_the_reason_is_said(candidates, code, says):
    found = resolve(candidates, ask())
    assert isinstance(found, RateProblem)
    assert found.code == code
    assert says in found.reason


def oracle(candidates: list[Candidate], question: Question) -> int | str:
    """Brute force, written from the rule's sentence: eliminate by one criterion after the other."""
    alive = []
    for c in candidates:
        if c.unit in {"month", "fixed"} or c.currency != question.currency:
            continue
        if c.role not in ("", question.role) or c.service_code not in ("", question.service_code):
            continue
        if c.resource not in ("", question.resource):
            continue
        end = c.valid_to or date.max
        if question.worked_on in {
            c.valid_from + timedelta(days=n) for n in range(min((end - c.valid_from).days, 400))
        }:
            alive.append(c)
    if not alive:
        return "none"
    for scope in ("engagement", "client", "entity"):
        same = [c for c in alive if c.scope == scope]
        if same:
            alive = same
            break
    for test in (lambda c: c.resource != "", lambda c: c.blended, lambda c: True):
        same = [c for c in alive if test(c)]
        if same:
            alive = same
            break
    most = max([c.role, c.service_code, c.resource].count("") * -1 for c in alive)
    alive = [c for c in alive if [c.role, c.service_code, c.resource].count("") * -1 == most]
    latest = sorted(c.valid_from for c in alive)[-1]
    alive = [c for c in alive if c.valid_from == latest]
    return alive[0].line_id if len(alive) == 1 else "overlap"


@st.composite
def candidates(draw) -> list[Candidate]:
    result = []
    for line_id in range(1, draw(st.integers(0, 9)) + 1):
        kind = draw(st.sampled_from(["role", "blended", "resource"]))
        start = date(2026, 1, 1) + timedelta(days=draw(st.integers(0, 8)))
        length = draw(st.none() | st.integers(1, 8))
        result.append(
            price(
                line_id,
                scope=draw(st.sampled_from(["engagement", "client", "entity"])),
                role=""
                if kind == "blended"
                else draw(st.sampled_from(["Manager", "Partner"] + [""] * (kind != "role"))),
                resource=draw(st.sampled_from(["ana", "ben"])) if kind == "resource" else "",
                blended=kind == "blended",
                service_code=draw(st.sampled_from(["", "ADV-100", "INT-230"])),
                unit=draw(st.sampled_from(["hour", "hour", "day", "month"])),
                currency=draw(st.sampled_from(["GBP", "GBP", "GBP", "EUR"])),
                valid_from=start,
                valid_to=None if length is None else start + timedelta(days=length),
                rate=Decimal(draw(st.integers(1, 500))),
            )
        )
    return result


questions = st.builds(
    ask,
    role=st.sampled_from(["Manager", "Partner"]),
    service_code=st.sampled_from(["", "ADV-100", "INT-230"]),
    resource=st.sampled_from(["", "ana", "ben"]),
    worked_on=st.integers(0, 16).map(lambda n: date(2026, 1, 1) + timedelta(days=n)),
)


@settings(max_examples=200, deadline=None)
@given(candidates(), questions)
def test_resolution_agrees_with_a_brute_force_oracle(prices, question):
    expected = oracle(prices, question)
    for order in (prices, prices[::-1]):
        found = resolve(order, question)
        if isinstance(found, RateAnswer):
            assert found.line_id == expected
        elif found.code == "RATE-OVERLAP":
            assert expected == "overlap"
        else:
            assert expected == "none"
        assert len(found.trace) == len(prices)
