"""Review: the project manager signs, then finance; what is signed is what was shown; a refusal says why."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest
from django.db import connection

from apps.approvals import selectors as approvals
from apps.approvals.errors import SegregationOfDuties
from apps.billing import selectors, services
from apps.billing.errors import PostingHeld, PrebillChanged
from apps.billing.models import Prebill
from apps.core import hooks
from apps.core.errors import AppError, InvalidInput, NotAllowed, WrongState
from apps.core.scope import EVERYTHING
from apps.journal import selectors as journal
from tests.billing import world
from tests.commercial.world import person

november = pytest.mark.usefixtures("november")
pytestmark = [november]


def drafted(firm):
    return services.prebill_draft(engagement_key=world.engagement(firm))


def approve(prebill, by, comment=""):
    return services.prebill_approve(prebill=prebill, by=by, digest=prebill.digest, comment=comment)


@pytest.mark.django_db
def test_two_signatures_approve_and_each_leaves_its_name():
    firm = world.firm()
    signed = approve(drafted(firm), firm.pm, "Hours checked")
    assert signed.state == "pm_approved"
    approved = approve(signed, firm.controller)
    assert approved.state == "approved"
    assert [(event.verb, event.by) for event in approved.events.all()] == [
        ("drafted", None),
        ("submitted", None),
        ("pm_approved", firm.pm),
        ("approved", firm.controller),
    ]
    audited = [(row.verb, row.actor_id) for row in journal.history("prebill", approved.ref)]
    assert ("prebill.approved", firm.controller.pk) in audited
    assert selectors.canonical_invoice(approved.ref).status == "approved"


@pytest.mark.django_db
def test_strangers_wrong_roles_and_the_same_person_twice_are_refused():
    firm = world.firm()
    prebill = drafted(firm)
    with pytest.raises(NotAllowed, match="Petra"):
        approve(prebill, person("stranger"))
    with pytest.raises(NotAllowed):
        approve(prebill, firm.controller)
    both = person("both", "practice_lead", "controller", legal_entity=firm.entity)
    signed = approve(prebill, both)
    with pytest.raises(SegregationOfDuties):
        approve(signed, both)
    with pytest.raises(NotAllowed):
        approve(signed, firm.pm)
    signed.refresh_from_db()
    assert signed.state == "pm_approved"


@pytest.mark.django_db
def test_a_signature_on_lines_that_have_changed_does_not_count():
    firm = world.firm()
    prebill = drafted(firm)
    services.milestone_observe(milestone=world.milestone(prebill.engagement_key))
    services.prebill_draft(engagement_key=prebill.engagement_key)
    with pytest.raises(PrebillChanged):
        approve(prebill, firm.pm)


@pytest.mark.django_db
def test_lines_tampered_with_in_the_database_are_noticed():
    firm = world.firm()
    prebill = drafted(firm)
    prebill.lines.update(amount=1)
    with pytest.raises(PrebillChanged):
        approve(prebill, firm.pm)


@pytest.mark.django_db
def test_after_the_project_manager_signed_new_items_wait_and_edited_ones_need_a_new_signature():
    firm = world.firm()
    key = world.time_and_materials(firm)
    services.time_observe(entry=world.hours(key, 1))
    prebill = approve(services.prebill_draft(engagement_key=key), firm.pm)
    services.time_observe(entry=world.hours(key, 2))
    assert services.prebill_draft(engagement_key=key) is None
    prebill.refresh_from_db()
    assert (prebill.state, prebill.lines.count()) == ("pm_approved", 1)
    services.time_observe(entry=world.hours(key, 1, "6"))
    prebill = services.prebill_draft(engagement_key=key)
    assert (prebill.state, prebill.lines.count()) == ("draft", 2)
    with pytest.raises(NotAllowed):
        approve(prebill, firm.controller)
    assert approve(prebill, firm.pm).state == "pm_approved"


@pytest.mark.django_db
def test_finance_cannot_release_what_waits_for_confirmation():
    firm = world.firm()
    prebill = approve(drafted(firm), firm.pm)
    services.place_hold(
        engagement_key=prebill.engagement_key,
        legal_entity_id=firm.entity.pk,
        level="posting",
        reason="The mapping of AIR-510 has not been confirmed yet.",
        source_ref="mapping:7",
    )
    assert [str(figure.held) for figure in selectors.billing_held(EVERYTHING)] == ["GBP 70,000.00"]
    with pytest.raises(PostingHeld, match="AIR-510 has not been confirmed"):
        approve(prebill, firm.controller)
    assert approvals.open_request("prebill", prebill.ref).decisions.count() == 1
    hooks.mappings_settled.fire([{"mapping_id": 7, "state": "confirmed", "legal_entity_id": firm.entity.pk}])
    assert selectors.posting_holds(prebill.engagement_key) == []
    assert approve(prebill, firm.controller).state == "approved"


@pytest.mark.django_db
def test_sending_back_needs_a_reason_and_waits_for_a_person():
    firm = world.firm()
    prebill = drafted(firm)
    with pytest.raises(InvalidInput):
        services.prebill_send_back(prebill=prebill, by=firm.pm, reason="  ")
    back = services.prebill_send_back(prebill=prebill, by=firm.pm, reason="Wrong purchase order")
    assert back.state == "sent_back"
    assert services.prebill_draft(engagement_key=prebill.engagement_key) is None
    with pytest.raises(WrongState, match="not waiting for approval"):
        approve(back, firm.pm)
    with pytest.raises(InvalidInput):
        services.prebill_submit(prebill=back, by=firm.analyst, comment="")
    with pytest.raises(NotAllowed):
        services.prebill_submit(prebill=back, by=person("stranger"), comment="Done")
    again = services.prebill_submit(prebill=back, by=firm.analyst, comment="PO corrected")
    assert again.state == "draft"
    with pytest.raises(WrongState):
        services.prebill_submit(prebill=again, by=firm.analyst, comment="Once more")
    assert approve(again, firm.pm).state == "pm_approved"
    assert [event.verb for event in again.events.all()][-4:] == [
        "sent_back",
        "changed",
        "submitted",
        "pm_approved",
    ]


@pytest.mark.django_db
def test_finance_may_send_back_what_the_project_manager_signed():
    firm = world.firm()
    prebill = approve(drafted(firm), firm.pm)
    assert (
        services.prebill_send_back(prebill=prebill, by=firm.controller, reason="Terms").state == "sent_back"
    )


@pytest.mark.django_db
def test_a_prebill_that_was_sent_back_returns_by_itself_when_its_lines_change_at_their_source():
    firm = world.firm()
    key = world.time_and_materials(firm)
    services.time_observe(entry=world.hours(key, 1, "8"))
    prebill = services.prebill_draft(engagement_key=key)
    services.prebill_send_back(prebill=prebill, by=firm.pm, reason="Six hours, not eight")
    services.time_observe(entry=world.hours(key, 2, "1"))
    assert services.prebill_draft(engagement_key=key) is None
    services.time_observe(entry=world.hours(key, 1, "6"))
    again = services.prebill_draft(engagement_key=key)
    assert (again.pk, again.state, again.lines.count()) == (prebill.pk, "draft", 2)


@pytest.mark.django_db
def test_who_submitted_a_prebill_does_not_sign_it_even_after_its_lines_changed_by_themselves():
    firm = world.firm()
    key = world.time_and_materials(firm)
    services.time_observe(entry=world.hours(key, 1, "8"))
    prebill = services.prebill_draft(engagement_key=key)
    services.prebill_send_back(prebill=prebill, by=firm.pm, reason="Wait for Friday")
    prebill.refresh_from_db()
    services.prebill_submit(prebill=prebill, by=firm.pm, comment="Friday is in")
    services.time_observe(entry=world.hours(key, 2, "1"))
    grown = services.prebill_draft(engagement_key=key)
    assert (grown.pk, grown.lines.count()) == (prebill.pk, 2)
    with pytest.raises(SegregationOfDuties):
        approve(grown, firm.pm)


@pytest.mark.django_db
def test_the_same_decision_told_twice_changes_nothing():
    firm = world.firm()
    prebill = approve(drafted(firm), firm.pm)
    request = approvals.open_request("prebill", prebill.ref)
    fact = {
        "request_id": request.pk,
        "ref": request.ref,
        "kind": "prebill",
        "subject_type": "prebill",
        "subject_ref": prebill.ref,
        "state": "step_done",
        "by_id": firm.pm.pk,
        "comment": "",
        "digest": prebill.digest,
    }
    hooks.approvals_decided.fire([fact])
    prebill.refresh_from_db()
    assert (prebill.state, prebill.events.filter(verb="pm_approved").count()) == ("pm_approved", 1)


def test_of_two_people_signing_at_once_one_wins(process_database):
    firm = world.firm()
    prebill = drafted(firm)
    leads = [person(f"lead{number}", "practice_lead", legal_entity=firm.entity) for number in range(3)]
    together = Barrier(3)

    def sign(lead) -> str:
        try:
            together.wait(timeout=10)
            return str(approve(prebill, lead).state)
        except AppError as error:
            return type(error).__name__
        finally:
            connection.close()

    with ThreadPoolExecutor(3) as pool:
        outcomes = sorted(pool.map(sign, leads))
    assert outcomes == ["PrebillChanged", "PrebillChanged", "pm_approved"]
    assert Prebill.objects.get().events.filter(verb="pm_approved").count() == 1
