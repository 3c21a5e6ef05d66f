"""Who is told of a deadline that is near: one message a person and round, by e-mail, owed until a mail server has taken it."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.core import mail
from django.core.mail import EmailMessage
from django.db import connection
from django.db.models.functions import Now
from django.test.utils import CaptureQueriesContext

from apps.organization.models import Grant
from apps.triage import services, tasks
from apps.triage.models import Case, Notice
from tests.commercial import world
from tests.journal.together import together
from tests.people import hire
from tests.triage.desk import crowd, fact, opened


@pytest.fixture
def uk(db) -> Any:
    return world.entity()


@pytest.fixture(autouse=True)
def mailing(settings) -> None:
    settings.EMAIL_HOST = "mail.example.com"  # the test's own outbox takes its place


@pytest.fixture
def closed_port() -> Iterator[int]:
    """A port that is taken and on which nobody listens: whoever connects is refused."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield taken.getsockname()[1]


def near(case: Case) -> Case:
    Case.objects.filter(pk=case.pk).update(due_at=Now() + timedelta(minutes=1))
    return case


def to() -> list[str]:
    return sorted(name.partition("@")[0] for message in mail.outbox for name in message.to)


def test_who_holds_a_case_is_told_once_with_the_deadline_and_a_link(uk):
    ana, case = hire("ana", uk), near(opened(uk))
    hire("carla", uk)
    services.case_take(case=case, by=ana)
    assert services.cases_escalate() == 1
    assert mail.outbox == [], "nothing leaves from inside the round"
    assert tasks.send_notices.run() == 1
    (message,) = mail.outbox
    assert message.to == [ana.email]
    assert "1 case is close to its invoice run" in message.subject
    assert case.ref in message.body
    assert "(MER-UK)" in message.body
    assert "GBP 1,000.00" in message.body
    assert f"/exceptions/{case.ref}/" in message.body
    assert "It is assigned to you." in message.body
    assert (services.cases_escalate(), tasks.send_notices.run(), len(mail.outbox)) == (0, 0, 1)
    assert Case.objects.get().events.filter(what="reminded").count() == 1


def test_the_next_holder_is_told_anew(uk):
    ana, carla, case = hire("ana", uk), hire("carla", uk), near(opened(uk))
    services.case_take(case=case, by=ana)
    services.cases_escalate()
    services.notices_send()
    services.case_assign(case=case, to=carla, by=ana)
    assert (services.cases_escalate(), services.notices_send()) == (1, 1)
    assert to() == ["ana", "carla"]


def test_what_nobody_holds_is_told_to_its_queue_and_to_who_leads_it(uk):
    for name in ("ana", "carla", "felix", "remy", "otto"):
        hire(name, uk)
    lena = hire("lena", uk)
    near(opened(uk))
    services.cases_escalate()
    services.notices_send()
    assert (Case.objects.get().escalated_to, to()) == ("controller", ["ana", "carla"]), "a queue by its code"
    mail.outbox.clear()
    queued = near(opened(uk, number=2))
    services.case_assign(case=queued, queue="practice_lead", by=lena)
    services.cases_escalate()
    services.notices_send()
    assert to() == ["felix", "lena"]
    assert all("Nobody holds it." in message.body for message in mail.outbox)


def test_a_round_is_one_message_a_person_however_many_cases(uk):
    ana = hire("ana", uk)
    hire("carla", uk)
    cases = crowd(uk, 45)
    services.cases_assign(seen={case.pk: case.seen for case in cases[:5]}, to=ana, by=ana)
    Case.objects.update(due_at=Now() + timedelta(minutes=1))
    assert services.cases_escalate() == 45
    assert services.notices_send() == 2
    assert to() == ["ana", "carla"]
    bodies = {message.to[0].partition("@")[0]: message for message in mail.outbox}
    assert "5 cases are close" in bodies["ana"].subject
    assert "40 cases are close" in bodies["carla"].subject
    assert not Notice.objects.filter(sent_at=None).exists()


def test_only_who_may_see_the_legal_entity_is_told(uk):
    us = world.entity("MER-US", country="US", currency="USD", timezone="America/New_York")
    hire("carla", us)
    ana = hire("ana", uk)
    case = near(opened(uk))
    services.cases_escalate()
    assert Notice.objects.get().person == ana, "the only lead is of another entity"
    Notice.objects.all().delete()
    Case.objects.update(escalated_at=None)
    services.case_take(case=case, by=ana)
    services.cases_escalate()
    Grant.objects.filter(user=ana).delete()
    assert services.notices_send() == 0
    assert mail.outbox == []
    assert Notice.objects.get().dropped == "The person may not see it."


def test_what_is_no_longer_so_is_not_told(uk):
    ana, carla = hire("ana", uk), hire("carla", uk)
    closed, given, gone = (near(opened(uk, number=number)) for number in (1, 2, 3))
    for case in (closed, given):
        services.case_take(case=case, by=ana)
    services.cases_escalate()
    services.cases_reconcile([fact(uk, number=1)])
    services.case_assign(case=given, to=carla, by=ana)
    services.case_take(case=gone, by=ana)
    assert services.notices_send() == 0
    assert set(Notice.objects.values_list("dropped", flat=True)) == {
        "It is closed.",
        "Another holds it by now.",
    }


def test_a_mail_server_that_refuses_is_asked_again_and_nothing_is_lost(uk, settings, closed_port):
    ana, case = hire("ana", uk), near(opened(uk))
    services.case_take(case=case, by=ana)
    services.cases_escalate()
    working = settings.EMAIL_BACKEND
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", closed_port
    assert tasks.send_notices.run() == 0
    owed = Notice.objects.get()
    assert (owed.sent_at, owed.attempts, owed.lease_until) == (None, 1, None)
    assert owed.error.startswith("ConnectionRefusedError")
    assert tasks.send_notices.run() == 0
    assert Notice.objects.get().attempts == 1, "it waits before it asks again"
    Notice.objects.update(next_at=Now())
    assert tasks.send_notices.run() == 0
    assert Notice.objects.get().attempts == 2
    settings.EMAIL_BACKEND = working
    Notice.objects.update(next_at=Now())
    assert tasks.send_notices.run() == 1
    assert (to(), Notice.objects.get().error) == (["ana"], "")


def test_no_message_is_sent_inside_a_transaction(uk, monkeypatch):
    ana, case = hire("ana", uk), near(opened(uk))
    services.case_take(case=case, by=ana)
    services.cases_escalate()
    depth = len(connection.savepoint_ids)
    seen: list[int] = []
    send = EmailMessage.send

    def look(self: EmailMessage, *args: Any, **kwargs: Any) -> int:
        seen.append(len(connection.savepoint_ids) - depth)
        return send(self, *args, **kwargs)

    monkeypatch.setattr(EmailMessage, "send", look)
    assert services.notices_send() == 1
    assert seen == [0], "the only transaction is the one around the test"


def test_a_sender_that_died_is_followed_by_another_with_the_same_message(uk):
    ana, case = hire("ana", uk), near(opened(uk))
    services.case_take(case=case, by=ana)
    services.cases_escalate()
    services.notices_send()
    Notice.objects.update(sent_at=None, lease_until=Now() + timedelta(seconds=60))
    assert services.notices_send() == 0, "somebody may still be at it"
    Notice.objects.update(lease_until=Now() - timedelta(seconds=1))
    assert services.notices_send() == 1
    first, second = mail.outbox
    assert first.extra_headers["Message-ID"] == second.extra_headers["Message-ID"]


def test_a_round_that_died_before_its_end_is_told_all_the_same(uk):
    ana, case = hire("ana", uk), near(opened(uk))
    services.case_take(case=case, by=ana)
    services.cases_escalate()
    Notice.objects.update(next_at=None)
    assert services.notices_send() == 0
    Notice.objects.update(created_at=Now() - timedelta(minutes=11))
    assert services.notices_send() == 1


def test_without_a_mail_server_nobody_is_owed_a_message(uk, settings):
    settings.EMAIL_HOST = ""
    ana, case = hire("ana", uk), near(opened(uk))
    services.case_take(case=case, by=ana)
    assert (services.cases_escalate(), services.notices_send()) == (0, 0)
    assert not Notice.objects.exists()


def test_several_senders_at_once_send_each_message_once(process_database, settings, tmp_path):
    settings.EMAIL_BACKEND = "django.core.mail.backends.filebased.EmailBackend"
    settings.EMAIL_FILE_PATH = str(tmp_path)
    uk = world.entity()
    people = [hire(name, uk) for name in ("ana", "rashid", "carla", "remy")]
    for number, person in enumerate(people, start=1):
        services.case_take(case=near(opened(uk, number=number)), by=person)
    services.cases_escalate()
    assert sum(together(*[services.notices_send] * 4)) == len(people)
    # Files are named after the second, so that two messages may share one.
    sent = [
        line
        for file in tmp_path.iterdir()
        for line in file.read_text().splitlines()
        if line.startswith("To: ")
    ]
    assert sorted(sent) == sorted(f"To: {person.email}" for person in people)


def test_many_cases_take_as_many_statements_as_few(uk):
    ana = hire("ana", uk)

    def statements(cases: list[Case]) -> tuple[int, int]:
        services.cases_assign(seen={case.pk: case.seen for case in cases}, to=ana, by=ana)
        Case.objects.update(due_at="2026-01-01T00:00Z")
        with CaptureQueriesContext(connection) as escalating:
            assert services.cases_escalate() == len(cases)
        with CaptureQueriesContext(connection) as sending:
            assert services.notices_send() == 1
        return len(escalating), len(sending)

    assert statements(crowd(uk, 2, start=100)) == statements(crowd(uk, 60, start=3000))
