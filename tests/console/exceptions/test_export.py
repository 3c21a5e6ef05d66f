"""The list as a file: what is shown, within the scope, and nothing that a spreadsheet would carry out."""

from __future__ import annotations

import csv
import io
from decimal import Decimal

from openpyxl import load_workbook

from apps.console.exceptions import export
from apps.journal.models import Audit
from apps.triage.models import Case
from tests.console.queries import assert_rows_cost_nothing
from tests.console.texts import text_of

NASTY = '=HYPERLINK("http://evil.example","Click")'


def rows_of(answer) -> list[dict[str, str]]:
    assert answer.status_code == 200
    text = answer.content.decode()
    assert text.startswith("\ufeff")
    return list(csv.DictReader(io.StringIO(text.removeprefix("\ufeff"))))


def test_the_file_holds_what_the_filters_match_within_the_scope(world, signed_in):
    here, there = world.broken_deal(1, customer="Tolvane Rail"), world.broken_deal(2, entity=world.uk)
    world.broken_deal(3, customer="Nordeval Pharma")
    client = signed_in("ana", world.be)
    rows = rows_of(client.get("/exceptions/export.csv?view=cases&q=tolvane"))
    assert [row["Case"] for row in rows] == [here.ref]
    assert there.ref not in str(rows)
    assert (rows[0]["Billing held"], rows[0]["Currency"], rows[0]["Legal entity"]) == (
        "12300.0000",
        "EUR",
        "OST-BE",
    )
    assert rows[0]["Who must act"] == "Billing analyst"
    assert rows[0]["Opened (UTC)"].endswith("Z")


def test_an_unknown_amount_is_empty_and_not_zero(world, signed_in):
    world.broken_deal(1, amount=None)
    assert rows_of(signed_in("ana").get("/exceptions/export.csv"))[0]["Billing held"] == ""


def test_no_text_is_a_formula_in_either_file(world, signed_in):
    case = world.broken_deal(1)
    client = signed_in("ana")
    for nasty in (NASTY, "+1+1", "-2+3", "@SUM(A1)", "\t=1", "\r=1", " =1+1", "\uff1d1+1"):
        Case.objects.filter(pk=case.pk).update(label=nasty, customer_name=nasty, reason=nasty)
        row = rows_of(client.get("/exceptions/export.csv"))[0]
        assert row["Deal"].startswith("'"), nasty
        book = load_workbook(io.BytesIO(client.get("/exceptions/export.xlsx").content))
        cells = {cell.value: cell for line in book.active.iter_rows(min_row=2) for cell in line}
        found = next(
            cell for value, cell in cells.items() if isinstance(value, str) and value.startswith("'")
        )
        assert found.data_type == "s"
        assert not any(cell.data_type == "f" for cell in cells.values())


def test_amounts_and_moments_are_numbers_and_dates_in_the_workbook(world, signed_in):
    world.broken_deal(1)
    answer = signed_in("ana").get("/exceptions/export.xlsx")
    assert 'filename="exceptions-' in answer["Content-Disposition"]
    sheet = load_workbook(io.BytesIO(answer.content)).active
    head = [cell.value for cell in sheet[1]]
    row = dict(zip(head, [cell.value for cell in sheet[2]], strict=True))
    assert Decimal(str(row["Billing held"])) == Decimal("12300")
    assert row["Opened (UTC)"].year >= 2020
    assert sheet.freeze_panes == "A2"


def test_taking_data_out_leaves_an_audit_row(world, signed_in):
    world.broken_deal(1)
    signed_in("ana").get("/exceptions/export.csv?code=DEAL-SVC-UNMAPPED")
    said = Audit.objects.get(verb="cases.exported")
    assert said.actor == "ana"
    assert said.new["cases"] == 1
    assert said.new["query"] == "code=DEAL-SVC-UNMAPPED"


def test_a_file_that_would_be_too_large_is_refused_with_what_to_do(world, signed_in, monkeypatch):
    monkeypatch.setattr(export, "MOST", 1)
    world.broken_deal(1)
    world.broken_deal(2)
    answer = signed_in("ana").get("/exceptions/export.csv")
    assert answer.status_code == 400
    assert "narrow the filter" in text_of(answer)
    assert signed_in("ana").get("/exceptions/export.exe").status_code == 404


def test_more_cases_take_no_more_queries(world, signed_in):
    world.broken_deal(1)
    client = signed_in("ana")
    assert_rows_cost_nothing(
        client, "/exceptions/export.csv", lambda: [world.broken_deal(n) for n in range(2, 8)]
    )
