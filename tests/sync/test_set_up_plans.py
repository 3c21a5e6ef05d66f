"""Plans of project and rate card: what is created where, and that what exists is left alone. Pure."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime
from types import SimpleNamespace
from typing import Any

from apps.canonical.objects import Engagement, EngagementLine, RateCard, RateLine, ScheduleEntry
from apps.sync.flows import project as projects
from apps.sync.flows import ratecard as ratecards
from apps.sync.flows.base import Meta
from tests.sync.samples import gbp

NOW = datetime(2026, 11, 23, tzinfo=UTC)


def system(number: int, code: str) -> Any:
    return SimpleNamespace(id=number, code=code, name=code.upper())


def line(key: str, model: str, code: str = "IMP-200") -> EngagementLine:
    return EngagementLine(
        key=key, service_code=code, billing_code="503", billing_model=model, amount=gbp("90000")
    )


ENGAGEMENT = Engagement(
    key="ENG-2026-000001",
    name="Claims platform",
    customer_key="crm:001A",
    legal_entity_code="MER-UK",
    currency="GBP",
    billing_model="milestone",
    budget=gbp("105000"),
    rate_card_key="RC-ENG-2026-000001",
    lines=(line("L1", "milestone"), line("L2", "time_and_materials", "ANA-220")),
)
SCHEDULE = (
    ScheduleEntry(
        key="m1", label="Design", amount=gbp("30000"), trigger="acceptance", service_code="IMP-200"
    ),
    ScheduleEntry(key="m2", label="Deposit", amount=gbp("60000"), trigger="date", due_on=date(2026, 12, 1)),
)
LINKS = {
    "psa.project": "",
    "erp.project": "",
    "erp.billing_schedule": "",
    "erp.billing_rule.L1": "",
    "erp.billing_rule.L2": "",
    "psa.milestone.m1": "",
    "psa.milestone.m2": "",
}


def snapshot(**changes: Any) -> projects.ProjectSnapshot:
    values: dict[str, Any] = {
        "as_of": NOW,
        "meta": Meta(label="Claims platform"),
        "engagement": ENGAGEMENT,
        "schedule": SCHEDULE,
        "erp": system(2, "erp"),
        "psa": system(3, "psa"),
        "erp_settings": {"subsidiary": "1", "currency_id": "1"},
        "links": LINKS,
        "unconfirmed": (7,),
        "loaded": False,
    }
    return projects.ProjectSnapshot(**values | changes)


def steps(draft: Any) -> list[tuple[str, str]]:
    return [(action.name, action.kind) for action in draft.actions]


def test_a_project_is_created_in_both_systems_and_opened_last():
    assert steps(projects.plan(snapshot())) == [
        ("psa.project", "push"),
        ("psa.milestone.m1", "push"),
        ("erp.billing_schedule", "push"),
        ("erp.project", "push"),
        ("erp.billing_rule.L1", "push"),
        ("erp.billing_rule.L2", "push"),
        ("activate", "local"),
    ]


def test_a_dated_instalment_is_no_milestone_of_the_project_system():
    assert "psa.milestone.m2" not in dict(steps(projects.plan(snapshot())))


def test_the_erp_gets_the_whole_schedule_and_its_project_refers_to_it():
    actions = {action.name: action for action in projects.plan(snapshot()).actions}
    schedule, project = actions["erp.billing_schedule"], actions["erp.project"]
    entries = schedule.body["entries"]
    assert [(one["key"], one["trigger"], one["due_on"]) for one in entries] == [
        ("m1", "acceptance", None),
        ("m2", "date", "2026-12-01"),
    ]
    assert schedule.key == "ENG-2026-000001-BS"
    assert project.refs["billing_schedule"] == ("billing_schedule", schedule.key)
    assert actions["erp.billing_rule.L1"].values["billing_code"] == "503"


def test_work_without_a_schedule_has_none_in_the_erp():
    actions = {action.name: action for action in projects.plan(snapshot(schedule=())).actions}
    assert "erp.billing_schedule" not in actions
    assert "billing_schedule" not in actions["erp.project"].refs


def test_a_schedule_that_stands_in_the_erp_is_left_alone():
    known = LINKS | {"erp.billing_schedule": "77"}
    actions = {action.name: action for action in projects.plan(snapshot(links=known)).actions}
    assert (actions["erp.billing_schedule"].kind, actions["erp.billing_schedule"].external_id) == (
        "unchanged",
        "77",
    )
    assert "billing_schedule" in actions["erp.project"].refs


def test_the_project_refers_to_the_rate_card_only_where_there_is_one():
    with_card = projects.plan(snapshot()).actions[0]
    bare = ENGAGEMENT.model_copy(update={"rate_card_key": None})
    without = projects.plan(snapshot(engagement=bare)).actions[0]
    assert with_card.refs == {"rate_card": ("rate_card", "RC-ENG-2026-000001")}
    assert without.refs == {}


def test_what_exists_is_left_alone_and_the_rest_goes_on():
    half = LINKS | {"psa.project": "55", "psa.milestone.m1": "56"}
    kinds = dict(steps(projects.plan(snapshot(links=half))))
    assert (kinds["psa.project"], kinds["psa.milestone.m1"]) == ("unchanged", "unchanged")
    assert (kinds["erp.project"], kinds["activate"]) == ("push", "local")


def test_a_whole_project_has_nothing_to_do():
    whole = dict.fromkeys(LINKS, "1")
    draft = projects.plan(snapshot(links=whole, loaded=True))
    assert {kind for _, kind in steps(draft)} == {"unchanged"}


def test_mappings_that_await_confirmation_come_with_the_opening():
    [opening] = [a for a in projects.plan(snapshot()).actions if a.name == "activate"]
    assert opening.values["unconfirmed"] == [7]


def test_confirming_a_mapping_does_not_change_what_would_be_done():
    assert projects.plan(snapshot(unconfirmed=())).digest == projects.plan(snapshot()).digest


# ---- rate cards ------------------------------------------------------------------------------------------------------

CARD = RateCard(
    key="RC-ENG-2026-000001",
    name="Claims platform",
    currency="GBP",
    effective_from=date(2026, 11, 1),
    lines=(RateLine(role="Manager", bill_rate=gbp("195")),),
)


def card_snapshot(**changes: Any) -> ratecards.RateCardSnapshot:
    values: dict[str, Any] = {
        "as_of": NOW,
        "meta": Meta(label="Rates"),
        "card": CARD,
        "erp": system(2, "erp"),
        "psa": system(3, "psa"),
        "erp_settings": {"subsidiary": "1"},
        "erp_id": "",
        "psa_id": "",
    }
    return ratecards.RateCardSnapshot(**values | changes)


def test_agreed_rates_go_to_both_systems():
    draft = ratecards.plan(card_snapshot())
    assert steps(draft) == [("erp.rate_card", "push"), ("psa.rate_card", "push")]
    assert draft.actions[0].settings == {"subsidiary": "1"}
    assert draft.actions[1].settings == {}


def test_a_card_that_one_system_has_is_sent_to_the_other_only():
    draft = ratecards.plan(card_snapshot(erp_id="12"))
    assert steps(draft) == [("erp.rate_card", "unchanged"), ("psa.rate_card", "push")]


def test_other_rates_give_another_digest():
    dearer = replace(
        card_snapshot(),
        card=CARD.model_copy(update={"lines": (RateLine(role="Manager", bill_rate=gbp("200")),)}),
    )
    assert ratecards.plan(dearer).digest != ratecards.plan(card_snapshot()).digest
