"""The detail on the right: reason, both sides, who owns the truth, what a person may do."""

from __future__ import annotations

import html
import re

import pytest

from apps.canonical.money import Money
from apps.commercial import selectors as commercial
from apps.console.exceptions import board
from apps.core import clock
from apps.core.scope import EVERYTHING
from apps.journal import transitions
from apps.organization import services as organization
from apps.records import services as records
from apps.sync.models import Action, Dependency, Subject, Transaction
from apps.triage import selectors as triage
from apps.triage.models import Case
from tests.console.texts import text_of
from tests.people import hire
from tests.triage import desk
from tests.triage.plans import Plans


def _fresh(case):
    return triage.case_detail(EVERYTHING, case.ref).case


def test_a_case_shows_reason_money_owner_and_both_sides(world, signed_in):
    case = world.broken_deal(1)
    page = text_of(signed_in("ana").get(f"/exceptions/{case.ref}/"))
    assert case.reason in page
    assert "EUR 12,300.00" in page
    assert "A sold service has no partner in the billing codes" in page
    assert "Open in Salesforce" in page
    assert "AIR-510 Responsible-AI review" in page
    assert "no partner yet" in page


def test_a_case_outside_the_scope_does_not_exist(world, signed_in):
    case = world.broken_deal(1)
    client = signed_in("ana", world.uk)
    for address in ("", "fix/preview?target=401", "progress", "retry/preview"):
        assert client.get(f"/exceptions/{case.ref}/{address}").status_code == 404, address
    for address in ("take", "assign", "comment", "fix", "retry"):
        assert client.post(f"/exceptions/{case.ref}/{address}", {"text": "x"}).status_code == 404, address
    assert _fresh(case).assignee is None


def test_taking_a_case_makes_it_mine_and_the_second_person_is_told(world, signed_in):
    case = world.broken_deal(1)
    first = signed_in("ana").post(f"/exceptions/{case.ref}/take")
    assert first.status_code == 303
    assert _fresh(case).assignee.username == "ana"
    second = signed_in("carla").post(f"/exceptions/{case.ref}/take", follow=True)
    assert "Ana Lindqvist was faster." in text_of(second)
    assert _fresh(case).assignee.username == "ana"


def test_a_case_is_given_to_somebody_who_may_fix_it_only(world, signed_in):
    case, client = world.broken_deal(1), signed_in("ana")
    carla, otto = hire("carla"), hire("otto")
    client.post(f"/exceptions/{case.ref}/assign", {"to": carla.pk})
    assert _fresh(case).assignee == carla
    assert client.post(f"/exceptions/{case.ref}/assign", {"to": otto.pk}).status_code == 400
    assert _fresh(case).assignee == carla
    client.post(f"/exceptions/{case.ref}/assign", {"to": ""})
    assert _fresh(case).assignee is None


def test_a_comment_is_kept_and_shown_astext_of(world, signed_in):
    case, client = world.broken_deal(1), signed_in("ana")
    client.post(f"/exceptions/{case.ref}/comment", {"text": "<script>alert(1)</script> ask Tilda"})
    page = client.get(f"/exceptions/{case.ref}/").content.decode()
    assert "&lt;script&gt;alert(1)&lt;/script&gt; ask Tilda" in page
    assert "<script>alert(1)" not in page


@pytest.mark.parametrize("text", ["", "x" * 5001])
def test_a_comment_of_no_or_too_many_characters_is_refused_with_a_sentence(world, signed_in, text):
    case = world.broken_deal(1)
    answer = signed_in("ana").post(f"/exceptions/{case.ref}/comment", {"text": text})
    assert answer.status_code == 400
    assert "5,000 characters" in text_of(answer)


def test_digests_and_keys_are_under_technical(world, signed_in):
    case, client = world.broken_deal(1), signed_in("ana")
    fingerprint = case.group.fingerprint[:16]
    assert fingerprint not in client.get(f"/exceptions/{case.ref}/").content.decode()
    assert fingerprint in client.get(f"/exceptions/{case.ref}/?tab=technical").content.decode()


def test_a_fragment_holds_only_the_detail(world, signed_in):
    case = world.broken_deal(1)
    answer = signed_in("ana").get(f"/exceptions/{case.ref}/", HTTP_HX_REQUEST="true", HTTP_HX_TARGET="detail")
    page = answer.content.decode()
    assert case.reason in page
    assert "<html" not in page
    assert 'id="list"' not in page


def test_previous_and_next_stay_within_the_listed_results(world, signed_in):
    first, second = world.broken_deal(1), world.broken_deal(2)
    world.broken_deal(3, value="ANA-220")
    page = signed_in("ana").get(f"/exceptions/{first.ref}/?group={first.group_id}").content.decode()
    assert "1 of 2" in page
    assert f'href="/exceptions/{second.ref}/?group={first.group_id}"' in page


def test_previous_and_next_go_on_beyond_the_page(world, signed_in, monkeypatch):
    monkeypatch.setattr(board, "PER_PAGE", 3)
    made = [world.broken_deal(number) for number in range(1, 8)]
    Case.objects.filter(pk__in=[case.pk for case in made[5:]]).update(due_at=None)
    order = list(triage.open_cases(EVERYTHING).values_list("ref", flat=True))
    client = signed_in("ana")

    def walk(ref: str, key: str, query: str) -> tuple[list[str], str]:
        """The cases that the key leads to, one after the other, and the last address."""
        address, seen = f"/exceptions/{ref}/{query}", [ref]
        while link := re.search(rf'data-key="\{key}" href="([^"]+)"', client.get(address).content.decode()):
            address = html.unescape(link[1])
            seen.append(address.split("/")[2])
            assert f'data-row="{seen[-1]}"' in client.get(address).content.decode(), (
                "the list shows it as well"
            )
        return seen, address

    forth, last = walk(order[0], "]", "?view=cases")
    assert forth == order
    back, _first = walk(order[-1], "[", f"?{last.partition('?')[2]}")
    assert back == order[::-1]


def test_an_auditor_reads_the_case_and_is_told_why_the_fix_is_not_theirs(world, signed_in):
    hire("ana")
    world.service_items(("4010", "Fixed-fee reviews"))
    case = world.broken_deal(1)
    page = text_of(signed_in("otto").get(f"/exceptions/{case.ref}/"))
    assert "You may not add mappings here. Ask Ana Lindqvist." in page
    assert "Take it" not in page


def test_a_root_cause_lists_what_it_blocks(world, signed_in):
    case, client = world.broken_deal(1, code="CUS-DUP"), signed_in("ana")
    waiting = []
    for number in range(22):
        made = desk.transaction(number + 100, state="waiting")
        Transaction.objects.filter(pk=made.pk).update(amount="1000", currency="EUR", label=f"Deal {number}")
        Dependency.objects.create(parent=made, child_id=case.transaction_id, action="customer")
        waiting.append(made)
    page = text_of(client.get(f"/exceptions/{case.ref}/"))
    assert "Blocks 22 transactions EUR 22,000.00" in page
    assert waiting[0].ref in page
    assert waiting[-1].ref not in page
    assert "and 2 further transactions" in page
    assert "Blocks" not in text_of(client.get(f"/exceptions/{world.broken_deal(2).ref}/"))


def test_an_unknown_outcome_is_looked_up_and_offers_no_blind_run(world, signed_in):
    world.service_items(("4010", "Fixed-fee reviews"))
    case, mapped = world.broken_deal(1, code="INV-UNKNOWN", value="", field=""), world.broken_deal(2)
    client = signed_in("ana")
    assert "Preview a run" in text_of(client.get(f"/exceptions/{case.ref}/"))
    Subject.objects.filter(key__in=[case.subject_key, mapped.subject_key]).update(in_doubt=["erp.invoice"])
    page = text_of(client.get(f"/exceptions/{case.ref}/"))
    assert "What became of erp.invoice is not known" in page
    assert "Look it up now" in page
    shown = client.get(f"/exceptions/{case.ref}/").content.decode()
    look_up = re.search(r'action="[^"]+/look-up">.*?</form>', shown, re.S)
    assert "data-key" not in look_up[0], "no key sends anything"
    assert "Preview a run" not in page
    assert client.get(f"/exceptions/{case.ref}/retry/preview").status_code == 409
    fix = client.get(f"/exceptions/{mapped.ref}/").content.decode()
    assert re.search(r'<fieldset class="choices" disabled', fix)
    assert "it is looked up before anything runs" in fix


def test_looking_it_up_sends_nothing_and_is_said(world, signed_in):
    case, client = world.broken_deal(1, code="INV-UNKNOWN", value="", field=""), signed_in("ana")
    row = Transaction.objects.get(pk=case.transaction_id)
    transitions.move(row, to="running")
    transitions.move(row, to="held")
    assert client.post(f"/exceptions/{case.ref}/look-up").status_code == 409, "nothing is in doubt"
    Subject.objects.filter(key=case.subject_key).update(in_doubt=["erp.invoice"])
    assert signed_in("otto").post(f"/exceptions/{case.ref}/look-up").status_code == 403
    assert client.post(f"/exceptions/{case.ref}/look-up").status_code == 303
    row.refresh_from_db()
    assert (row.state, row.params["look_up"], _fresh(case).state) == ("pending", True, "open")
    assert "It is being looked up" in text_of(client.get(f"/exceptions/{case.ref}/"))


def test_a_run_is_what_its_preview_showed_and_the_case_is_under_way(world, signed_in, monkeypatch):
    Plans(monkeypatch).entity_id = world.be.pk
    case, client = world.broken_deal(1, code="INV-UNKNOWN", value="", field=""), signed_in("ana")
    row = Transaction.objects.get(pk=case.transaction_id)
    transitions.move(row, to="running")
    transitions.move(row, to="held")
    shown = client.get(f"/exceptions/{case.ref}/retry/preview").content.decode()
    token = re.search(r'name="token" value="([^"]+)"', shown)
    assert client.post(f"/exceptions/{case.ref}/retry").status_code == 400
    forged = client.post(f"/exceptions/{case.ref}/retry", {"token": "forged"}, follow=True)
    assert "too old or was altered" in text_of(forged)
    row.refresh_from_db()
    assert (row.state, _fresh(case).state) == ("held", "open")
    assert client.post(f"/exceptions/{case.ref}/retry", {"token": token[1]}).status_code == 303
    row.refresh_from_db()
    assert (row.state, _fresh(case).state, _fresh(case).fixed_by.username) == (
        "pending",
        "in_progress",
        "ana",
    )
    page = text_of(client.get(f"/exceptions/{case.ref}/"))
    assert "Preview a run" not in page, "it runs"


def test_what_differs_from_the_terms_last_agreed_comes_first(world, signed_in):
    world.engagement(number="00007", amount=Money.of("90000", "GBP"))
    case = world.broken_deal(
        7,
        entity=world.uk,
        code="AMD-UNAPPROVED",
        object_type="deal",
        field="amount",
        value="120000",
        amount="120000",
    )
    page = text_of(signed_in("carla").get(f"/exceptions/{case.ref}/"))
    assert "Last agreed (000)" in page
    grid = page[page.index("Last agreed (000)") :]
    assert grid.index("Amount") < grid.index("Legal entity"), "the field in question first"
    assert "GBP 90,000.00" in grid
    assert "GBP 120,000.00" in grid


def test_a_deal_has_its_project_beside_it_and_an_engagement_its_deal(world, signed_in):
    key = world.engagement(number="00008", amount=Money.of("90000", "GBP"))
    psa = organization.system_set(code="psa", name="Kantata", kind="psa", vendor="kantata")
    body = commercial.canonical_engagement(key).model_copy(update={"budget": Money.of("80000", "GBP")})
    records.observe(system_id=psa.pk, object_type="engagement", external_id="71", body=body, key=key)
    fact = {"code": "AMD-UNAPPROVED", "entity": world.uk, "amount": "120000", "value": "120000"}
    deal = world.broken_deal(8, object_type="deal", field="amount", engagement_key=key, **fact)
    project = world.broken_deal(9, object_type="engagement", field="budget", engagement_key=key, **fact)
    Case.objects.filter(pk=project.pk).update(subject_kind="engagement", subject_key=key)
    for case in (deal, project):
        page = text_of(signed_in("carla").get(f"/exceptions/{case.ref}/"))
        grid = page[page.index("Both sides") :]
        for side in ("Salesforce", "Kantata", "Last agreed (000)"):
            assert side in grid, side
        for amount in ("GBP 120,000.00", "GBP 80,000.00", "GBP 90,000.00"):
            assert amount in grid, amount


def test_what_was_sent_is_shown_to_those_who_may_see_it_and_auditors_find_the_sealed_rows(world, signed_in):
    case = world.broken_deal(1)
    attempt = Action.objects.create(
        id=1, created_at=clock.now(), transaction_id=case.transaction_id, seq=1, name="erp.customer", system="erp",
        object_type="customer", operation="create", target_key="", external_id="", idempotency_key="k", outcome="failed",
        error_kind="business", code="", message="Refused.", url="", started_at=clock.now(), elapsed_ms=3, fence=1,
        correlation_id=case.correlation_id, payload_digest=b"x" * 32,
    )  # fmt: skip
    address = f"/transactions/{case.transaction_ref}/payload/{attempt.pk}"
    technical, activity = f"/exceptions/{case.ref}/?tab=technical", f"/exceptions/{case.ref}/?tab=activity"
    ana, carla = signed_in("ana"), signed_in("carla")
    assert address in carla.get(technical).content.decode()
    assert address not in ana.get(technical).content.decode()
    assert "Request and answer:" in text_of(ana.get(technical))
    sealed = f"/audit/?object_type=case&amp;q={case.ref}"
    assert sealed not in ana.get(activity).content.decode()
    otto = signed_in("otto")
    assert sealed in otto.get(activity).content.decode()
    ana.post(f"/exceptions/{case.ref}/take")
    assert f"{case.ref}" in text_of(otto.get(sealed.replace("&amp;", "&")))
