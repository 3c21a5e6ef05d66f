"""Requests and decisions: order of steps, who may sign, what is told."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from apps.approvals import selectors, services
from apps.approvals.errors import AlreadyDecided, ContentChanged, SegregationOfDuties
from apps.core import hooks
from apps.core.errors import InvalidInput, NotAllowed, WrongState
from apps.journal import selectors as journal
from apps.organization.models import ApiKey
from tests.commercial.world import entity
from tests.people import hire, stranger

pytestmark = pytest.mark.django_db
TWO_STEPS = [
    {"verb": "prebill.approve_pm", "label": "Project manager"},
    {"verb": "prebill.approve_finance", "label": "Finance"},
]


@pytest.fixture
def uk() -> Any:
    return entity()


@pytest.fixture
def heard(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """Everything that the hook tells; the rooms that listen are left out, they know no such subject."""
    facts: list[dict[str, Any]] = []
    monkeypatch.setattr(hooks.approvals_decided, "receivers", {"test": facts.extend})
    return facts


def ask(uk: Any, *, by: Any = None, steps: Any = TWO_STEPS, digest: str = "d1", **fields: Any) -> Any:
    values = {
        "kind": "paper",
        "subject_type": "paper",
        "subject_ref": "P-1",
        "title": "Paper P-1",
        "legal_entity_id": uk.pk,
        "engagement_key": "ENG-1",
    }
    return services.request(**{**values, **fields}, digest=digest, steps=steps, by=by)


def test_steps_are_signed_in_their_order_by_the_people_they_name(uk, heard):
    pavel, carla = hire("pavel", engagement_key="ENG-1"), hire("carla", uk)
    asked = ask(uk, amount=Decimal("100.00"), currency="GBP")

    with pytest.raises(NotAllowed):
        services.decide(request=asked, by=carla, decision="approve", digest="d1")
    services.decide(request=asked, by=pavel, decision="approve", digest="d1")
    assert (asked.state, asked.current_step) == ("open", 2)
    services.decide(request=asked, by=carla, decision="approve", digest="d1", comment="Fine.")

    assert asked.state == "approved"
    assert asked.closed_at is not None
    assert [(fact["state"], fact["step"], fact["by_id"]) for fact in heard] == [
        ("step_done", 1, pavel.pk),
        ("approved", 2, carla.pk),
    ]
    assert heard[-1]["comment"] == "Fine."
    assert [line.what for line in selectors.history("P-1")] == ["Approval asked for", "Approve", "Approve"]
    assert [row.verb for row in journal.history("approval", asked.ref)] == [
        "request.approved",
        "approval.step_approved",
        "approval.requested",
    ]


@pytest.mark.parametrize(("decision", "state"), [("reject", "rejected"), ("send_back", "sent_back")])
def test_a_refusal_ends_the_request_at_once_and_needs_a_reason(uk, heard, decision, state):
    lena = hire("lena", uk)
    asked = ask(uk)
    with pytest.raises(InvalidInput) as refused:
        services.decide(request=asked, by=lena, decision=decision, digest="d1", comment="  ")
    assert "comment" in refused.value.fields
    services.decide(request=asked, by=lena, decision=decision, digest="d1", comment="Wrong period.")
    assert asked.state == state
    assert [(fact["state"], fact["comment"]) for fact in heard] == [(state, "Wrong period.")]
    with pytest.raises(WrongState):
        services.decide(request=asked, by=lena, decision="approve", digest="d1")


def test_an_unknown_decision_is_refused(uk):
    with pytest.raises(InvalidInput):
        services.decide(request=ask(uk), by=hire("lena", uk), decision="maybe", digest="d1")


def test_what_changed_since_it_was_shown_cannot_be_signed(uk):
    lena = hire("lena", uk)
    asked = ask(uk)
    with pytest.raises(ContentChanged):
        services.decide(request=asked, by=lena, decision="approve", digest="other")
    asked.refresh_from_db()
    assert (asked.state, asked.current_step, asked.decisions.count()) == ("open", 1, 0)


def test_the_maker_may_not_check_unless_the_step_says_so(uk):
    lena = hire("lena", uk)
    asked = ask(uk, by=lena)
    with pytest.raises(SegregationOfDuties, match="another person"):
        services.decide(request=asked, by=lena, decision="approve", digest="d1")
    with pytest.raises(SegregationOfDuties):
        services.decide(request=asked, by=lena, decision="reject", digest="d1", comment="Mine.")

    own = [{"verb": "prebill.approve_pm", "label": "Project manager", "maker_may": True}]
    allowed = ask(uk, by=lena, steps=own, subject_ref="P-2")
    assert services.decide(request=allowed, by=lena, decision="approve", digest="d1").state == "approved"


def test_a_refused_maker_is_told_who_could_act(uk):
    lena, pavel = hire("lena", uk), hire("pavel", engagement_key="ENG-1")
    with pytest.raises(SegregationOfDuties) as refused:
        services.decide(request=ask(uk, by=lena), by=lena, decision="approve", digest="d1")
    assert refused.value.who == pavel.display_name


def test_nobody_signs_two_steps_of_one_request(uk):
    lena = hire("lena", uk)
    steps = [{"verb": "prebill.approve_pm", "label": label} for label in ("First", "Second")]
    asked = ask(uk, steps=steps)
    services.decide(request=asked, by=lena, decision="approve", digest="d1")
    with pytest.raises(SegregationOfDuties, match="second person"):
        services.decide(request=asked, by=lena, decision="approve", digest="d1")
    assert asked.state == "open"


def test_programs_the_system_and_disabled_people_never_sign(uk):
    asked = ask(uk)
    key, _ = ApiKey.objects.create_key(name="robot", scopes=["prebill.approve_pm"])
    lena = hire("lena", uk)
    lena.is_active = False
    for by in (None, key, lena):
        with pytest.raises(SegregationOfDuties):
            services.decide(request=asked, by=by, decision="approve", digest="d1")


def test_strangers_and_people_of_other_entities_may_not_sign(uk):
    other = entity("MER-US", country="US", currency="USD", timezone="America/New_York")
    asked = ask(uk)
    for by in (stranger(), hire("lena", other)):
        with pytest.raises(NotAllowed):
            services.decide(request=asked, by=by, decision="approve", digest="d1")


def test_a_request_for_all_entities_needs_a_role_in_all_of_them(uk):
    lena = hire("lena", uk)
    asked = services.request(
        kind="paper",
        subject_type="paper",
        subject_ref="P-9",
        title="Everywhere",
        digest="d1",
        legal_entity_id=None,
        steps=TWO_STEPS[:1],
    )
    with pytest.raises(NotAllowed):
        services.decide(request=asked, by=lena, decision="approve", digest="d1")
    assert list(selectors.waiting_for(lena)) == []
    everywhere = hire("felix")
    with pytest.raises(NotAllowed):
        services.decide(request=asked, by=everywhere, decision="approve", digest="d1")


def test_a_click_on_the_former_step_never_counts_for_the_next_one(uk):
    lena = hire("lena", uk)
    other = hire("pavel", uk, role="practice_lead")
    steps = [{"verb": "prebill.approve_pm", "label": label} for label in ("First", "Second")]
    asked = ask(uk, steps=steps)
    seen_by_other = type(asked).objects.get(pk=asked.pk)
    services.decide(request=asked, by=lena, decision="approve", digest="d1")
    with pytest.raises(AlreadyDecided, match="Lena"):
        services.decide(request=seen_by_other, by=other, decision="approve", digest="d1")
    assert asked.decisions.count() == 1


def test_asking_again_for_the_same_content_returns_the_open_request(uk):
    assert ask(uk).pk == ask(uk).pk


def test_asking_for_other_content_voids_the_open_request(uk):
    former = ask(uk)
    newer = ask(uk, digest="d2")
    former.refresh_from_db()
    assert (former.state, newer.state) == ("withdrawn", "open")
    assert selectors.open_request("paper", "P-1") == newer


def test_a_request_needs_steps_and_a_digest(uk):
    with pytest.raises(InvalidInput):
        ask(uk, steps=[])
    with pytest.raises(InvalidInput):
        ask(uk, digest="")


def test_only_who_asked_or_the_system_withdraws_and_only_while_open(uk):
    lena, ana = hire("lena", uk), hire("ana", uk)
    asked = ask(uk, by=ana)
    with pytest.raises(NotAllowed) as refused:
        services.withdraw(request=asked, by=lena)
    assert refused.value.who == ana.display_name
    assert services.withdraw(request=asked, by=ana).state == "withdrawn"
    with pytest.raises(WrongState):
        services.withdraw(request=asked)


def test_waiting_for_lists_what_this_person_may_decide_now(uk, django_assert_max_num_queries):
    pavel, carla, ana = hire("pavel", engagement_key="ENG-1"), hire("carla", uk), hire("ana", uk)
    first = ask(uk, by=ana)
    ask(uk, subject_ref="P-2", engagement_key="ENG-2")
    assert list(selectors.waiting_for(pavel)) == [first]
    assert list(selectors.waiting_for(carla)) == []
    services.decide(request=first, by=pavel, decision="approve", digest="d1")
    assert list(selectors.waiting_for(pavel)) == []
    assert list(selectors.waiting_for(carla)) == [first]
    assert selectors.may_decide(request=first, user=carla)
    assert not selectors.may_decide(request=first, user=ana)

    for number in range(3, 12):
        ask(uk, subject_ref=f"P-{number}")
    with django_assert_max_num_queries(4):
        assert len([row.legal_entity.code for row in selectors.waiting_for(pavel)]) == 9


def test_waiting_for_leaves_out_what_this_person_prepared_or_signed(uk):
    lena = hire("lena", uk)
    ask(uk, by=lena)
    assert list(selectors.waiting_for(lena)) == []
    steps = [{"verb": "prebill.approve_pm", "label": label} for label in ("First", "Second")]
    signed = ask(uk, steps=steps, subject_ref="P-2")
    services.decide(request=signed, by=lena, decision="approve", digest="d1")
    assert list(selectors.waiting_for(lena)) == []
