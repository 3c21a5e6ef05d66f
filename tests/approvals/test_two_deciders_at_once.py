"""Real threads on really committed rows: one decision a step, one open request a subject."""

from __future__ import annotations

from functools import partial

from apps.approvals import services
from apps.approvals.models import Decision, Request
from tests.commercial.world import entity
from tests.journal.together import outcomes, together
from tests.people import hire


def _ask(uk, *, steps=1, digest="d1"):
    return services.request(
        kind="paper",
        subject_type="paper",
        subject_ref="P-1",
        title="Paper P-1",
        digest=digest,
        legal_entity_id=uk.pk,
        steps=[{"verb": "prebill.approve_pm", "label": f"Step {number}"} for number in range(1, steps + 1)],
    )


def test_of_two_deciders_one_wins_and_the_other_is_told(process_database):
    uk = entity()
    people = [hire(name, uk, role="practice_lead") for name in ("lena", "pavel", "ruth", "remy")]
    for _ in range(5):
        asked = _ask(uk)
        seen = [(person, Request.objects.get(pk=asked.pk)) for person in people]
        results = together(
            *(
                partial(
                    services.decide,
                    request=request,
                    by=person,
                    decision="approve" if number % 2 else "reject",
                    digest="d1",
                    comment="Because.",
                )
                for number, (person, request) in enumerate(seen)
            )
        )
        assert outcomes(results)["AlreadyDecided"] == 3
        assert Decision.objects.filter(request=asked).count() == 1


def test_with_two_steps_a_second_click_at_the_same_moment_does_not_sign_the_second_step(process_database):
    uk = entity()
    lena, pavel = (hire(name, uk, role="practice_lead") for name in ("lena", "pavel"))
    asked = _ask(uk, steps=2)
    seen = [Request.objects.get(pk=asked.pk) for _ in range(2)]
    results = together(
        partial(services.decide, request=seen[0], by=lena, decision="approve", digest="d1"),
        partial(services.decide, request=seen[1], by=pavel, decision="approve", digest="d1"),
    )
    assert outcomes(results)["AlreadyDecided"] == 1
    asked.refresh_from_db()
    assert (asked.state, asked.current_step, asked.decisions.count()) == ("open", 2, 1)


def test_asking_at_the_same_moment_makes_one_request(process_database):
    uk = entity()
    results = together(*(partial(_ask, uk) for _ in range(4)))
    assert {type(result).__name__ for result in results} == {"Request"}
    assert len({result.pk for result in results}) == 1
    assert Request.objects.count() == 1
    assert Request.objects.get().steps.count() == 1
