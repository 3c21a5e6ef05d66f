"""Rows that are written in Python: what people typed is text and never markup, and times are in the reader's zone."""

from __future__ import annotations

from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from django.template import Context
from django.test import RequestFactory
from django.utils import timezone

from apps.console.templatetags.console import ago, stamp
from apps.console.templatetags.rows import case_rows, options, transaction_rows

NASTY = "<script>\"'&</script>"
ESCAPED = "&lt;script&gt;&quot;&#x27;&amp;&lt;/script&gt;"
AT = datetime(2026, 11, 25, 23, 30, tzinfo=UTC)


def transaction(**fields: Any) -> Any:
    values = {
        "ref": "TX-1", "label": NASTY, "subject__key": NASTY, "reason": "", "customer": NASTY, "flow": NASTY,
        "state": "held", "legal_entity__code": NASTY, "amount": None, "currency": "",
        "attempts": 2, "created_at": AT,
    }  # fmt: skip
    return SimpleNamespace(**{**values, **fields})


def case(**fields: Any) -> Any:
    values = {
        "ref": "EX-1", "label": NASTY, "subject_key": NASTY, "reason": NASTY, "customer_name": NASTY, "state": "open",
        "legal_entity__code": NASTY, "assignee__first_name": NASTY, "assignee__last_name": "", "assignee__email": "",
        "assignee__username": NASTY, "currency": "", "held_amount": None, "due_at": AT, "assignee_id": 1, "resolved_at": None,
        "queue": "", "escalated_at": None, "stance": "", "until": None,
    }  # fmt: skip
    return SimpleNamespace(**{**values, **fields})


def cases(*rows: Any, query: str = "", current: str = "", group: Any = None) -> str:
    request = RequestFactory().get(f"/exceptions/{query}")
    return case_rows(
        Context({"request": request}),
        SimpleNamespace(cases=rows, group=group, choosing=True, extra=()),
        current,
    )


@pytest.mark.parametrize(
    "written",
    [
        transaction_rows([transaction(label=""), transaction(reason=NASTY * 20)]),
        transaction_rows([transaction(ref=NASTY)]),
        cases(case(label="")),
        cases(case(ref=NASTY, assignee__first_name="", assignee__email=NASTY)),
        cases(case(), group=True),
        options([(NASTY, NASTY)]),
        options([(NASTY, NASTY)], NASTY),
    ],
)
def test_what_people_typed_is_text(written):
    assert "<script" not in written
    assert ESCAPED in written


def test_a_query_string_cannot_leave_its_attribute():
    written = cases(case(), query='?q="><script>alert(1)</script>&page=a5"')
    assert "<script" not in written
    assert (
        'href="/exceptions/EX-1/?q=%22%3E%3Cscript%3Ealert%281%29%3C%2Fscript%3E&amp;page=a5%22"' in written
    )


def test_the_open_case_is_marked_and_unknown_money_is_said():
    written = cases(case(), case(ref="EX-2", currency="GBP", held_amount=12), current="EX-2")
    first, second = written.split("\n")
    assert ("aria-current" in first, "aria-current" in second) == (False, True)
    assert "unknown" in first
    assert "12" in second


def test_who_has_a_case_is_called_by_name_else_address_else_log_in_name():
    names = [
        ("Ana", "Ruiz", "ana@x.example", "ana"),
        ("", "", "ana@x.example", "ana"),
        ("", "", "", "ana"),
    ]
    fields = ("assignee__first_name", "assignee__last_name", "assignee__email", "assignee__username")
    written = [cases(case(**dict(zip(fields, one, strict=True)))) for one in names]
    assert [
        f"<span>{who}</span>" in row
        for who, row in zip(("Ana Ruiz", "ana@x.example", "ana"), written, strict=True)
    ] == ([True] * 3)
    nobody = dict.fromkeys(fields)
    assert "nobody yet" in cases(case(**nobody))
    assert "nobody yet" not in cases(case(state="resolved", resolved_at=AT, **nobody))


def test_of_choices_only_the_chosen_one_is_selected():
    written = options([("a", "A (1)"), ("b", "B (2)")], "b")
    assert written == '<option value="a">A (1)</option><option value="b" selected>B (2)</option>'
    assert "selected" not in options([("a", "A")], None)


def test_equal_instants_are_written_in_each_readers_zone():
    texts = []
    for name in ("UTC", "Asia/Kolkata", "America/New_York"):
        with timezone.override(ZoneInfo(name)):
            texts.append(f"{ago(AT)}{stamp(AT)}")
    assert ["23:30" in texts[0], "05:00" in texts[1], "18:30" in texts[2]] == [True] * 3
    assert len(set(texts)) == 3


def test_whose_queue_a_case_is_in_and_that_it_is_escalated_is_said_until_somebody_has_it():
    nobody = {"assignee__username": None, "queue": "tax", "escalated_at": AT}
    row = cases(case(**nobody))
    assert "Queue: Tax" in row
    assert "Escalated" in row
    assert "Escalated" not in cases(case(queue="tax", escalated_at=AT))
    assert "Escalated" not in cases(case(**nobody, state="resolved"))
    assert NASTY not in cases(case(**{**nobody, "queue": NASTY}))
