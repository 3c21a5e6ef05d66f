"""The catalogue: complete, in words of people, and never in the way of a code that it does not know."""

from __future__ import annotations

from pathlib import Path

import pytest

from apps.governance.models import MappingKind
from apps.organization.permissions import ROLE_VERBS, Role
from apps.triage.catalogue import CATALOGUE, GENERIC, FixAction, Severity, codes_for_role, entry
from apps.triage.catalogue.page import as_markdown

NEEDED = [
    "DEAL-SVC-UNMAPPED",
    "DEAL-INCOMPLETE",
    "DEAL-UNSIGNED",
    "DEAL-TOTAL",
    "DEAL-LINE-CCY",
    "DEAL-SVC-INACTIVE",
    "DEAL-REOPENED",
    "CUS-LE-MISSING",
    "CUS-LE-INACTIVE",
    "CUS-LE-NOT-ENABLED",
    "CUS-CURRENCY",
    "CUS-TAXID-INVALID",
    "CUS-ADDRESS",
    "CUS-TERMS",
    "CUS-PO-REQUIRED",
    "CUS-DUP",
    "CUS-AMBIG-EXTID",
    "CUS-INACTIVE",
    "CUS-CREDIT-HOLD",
    "BILL-SCHED-SUM",
    "RATE-GAP",
    "RES-ROLE-NO-RATE",
    "AMD-UNAPPROVED",
    "MS-NO-EVIDENCE",
    "TIME-UNAPPROVED",
    "CAP-EXCEEDED",
    "INV-PERIOD",
    "INV-UNKNOWN",
    "INV-DUP",
    "INV-FX",
    "TAX-CODE",
    "PAY-SHORT",
    "PAY-UNMATCHED",
    "INT-AUTH",
    "INT-PERM",
    "INT-RATE",
    "INT-LOCK",
    "INT-SCHEMA",
    "INT-REJECTED",
    "INT-POISON",
    "INT-GAP",
    "PRJ-PARTIAL",
]


def test_every_code_of_the_desk_is_there():
    assert set(NEEDED) <= set(CATALOGUE)


@pytest.mark.parametrize("code", sorted(CATALOGUE))
def test_an_entry_says_what_it_means_who_acts_and_what_to_do(code):
    item = CATALOGUE[code]
    assert item.code == code
    assert str(item.title)
    assert code not in f"{item.title} {item.explanation}", "the words must do without the code"
    assert len(str(item.explanation)) > 60
    assert str(item.explanation).endswith(".")
    assert item.owner in {"crm", "psa", "erp", "billing", "console", "contract"}
    assert item.resolvers
    assert set(item.resolvers) <= set(Role.values)
    assert item.severity in Severity
    assert item.fixes
    for fix in item.fixes:
        assert str(fix.label)
        assert (fix.action is FixAction.MAP_VALUE) == bool(fix.mapping_kind)
        assert (fix.action is FixAction.EDIT_IN_SOURCE) == bool(fix.system)
        assert not fix.mapping_kind or fix.mapping_kind in MappingKind.values


@pytest.mark.parametrize("code", [code for code in CATALOGUE if CATALOGUE[code].mapping_kind])
def test_the_first_resolver_of_a_mapping_fix_may_add_mappings(code):
    assert "mapping.add" in ROLE_VERBS[CATALOGUE[code].resolvers[0]]


def test_an_unknown_code_gets_the_generic_entry_with_its_raw_code():
    item = entry("WEIRD-42")
    assert item.code == "WEIRD-42"
    assert "WEIRD-42" in str(item.title)
    assert item.explanation == GENERIC.explanation
    assert str(entry("").title)


def test_a_role_knows_its_codes():
    tax, takes_unknown = codes_for_role("tax")
    assert "TAX-CODE" in tax
    assert "INT-AUTH" not in tax
    assert takes_unknown is False
    assert codes_for_role("admin")[1] is True


def test_the_published_catalogue_is_the_one_in_the_code():
    published = Path(__file__).resolve().parents[2] / "docs" / "catalogue.md"
    assert published.read_text(encoding="utf-8") == as_markdown(), "run: python manage.py catalogue_page"
