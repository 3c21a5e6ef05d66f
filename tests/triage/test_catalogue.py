"""The catalogue: complete, in words of people, and never in the way of a code that it does not know."""

from __future__ import annotations

from pathlib import Path

import pytest

from apps.governance.models import MappingKind
from apps.organization.permissions import ROLE_VERBS, Role
from apps.triage.catalogue import AREAS, CATALOGUE, GENERIC, Area, FixAction, Severity, codes_for_role, entry
from apps.triage.catalogue.page import as_markdown

#: The list of the trade, by family.
TRADE = {
    "CUS": "DUP AMBIG-EXTID LE-MISSING LE-NOT-ENABLED LE-INACTIVE CURRENCY TAXID-INVALID TAXID-UNVERIFIED NAME-MISMATCH "
    "ADDRESS INACTIVE CREDIT-HOLD TERMS PO-REQUIRED BU-CONFLICT",
    "DEAL": "INCOMPLETE UNSIGNED TOTAL SVC-UNMAPPED SVC-INACTIVE REOPENED LINE-CCY BACKDATED",
    "PRJ": "DUP PARTIAL TEMPLATE MAP-VALUE CLOSED",
    "RES": "UNMAPPED INACTIVE ROLE-NO-RATE",
    "RATE": "GAP OVERLAP MISMATCH CCY RETRO STALE BELOW-FLOOR",
    "BILL": "RULE-MISSING SCHED-SUM",
    "CAP": "NEAR EXCEEDED",
    "RET": "OVER UNDER",
    "PO": "EXHAUSTED",
    "AMD": "UNAPPROVED STALE BILLED DRIFT PARTIAL CONCURRENT",
    "TIME": "UNAPPROVED LATE EDITED DUP OUTSIDE BILLFLAG",
    "EXP": "POLICY FX",
    "MS": "NO-EVIDENCE CHANGED",
    "TAX": "CODE SUB DIFF DOWN EXEMPT NEXUS RC",
    "INV": "PERIOD DUP UNKNOWN TOTAL FX ACCOUNT EDITED VOIDED DELIVERY DISPUTED",
    "PAY": "UNMATCHED SHORT REVERSED",
    "INT": "AUTH PERM RATE LOCK SCHEMA GAP SIG POISON RECON NOTIFY",
    "IC": "RATE-MISSING",
}
NEEDED = {f"{family}-{name}" for family, names in TRADE.items() for name in names.split()}
OWNERS = {"crm", "psa", "erp", "billing", "console", "contract", "customer", "directory", "authority"}
#: What this product has found beyond it.
OWN = {"INT-REJECTED", "MAP-UNCONFIRMED", "PAY-OUTSIDE"}


def test_every_code_of_the_trade_is_there_and_what_is_our_own_says_so():
    assert set(CATALOGUE) == NEEDED | OWN
    assert {code for code, item in CATALOGUE.items() if item.own} == OWN


def test_every_code_is_in_one_area():
    listed = [item.code for items in AREAS.values() for item in items]
    assert set(AREAS) == set(Area)
    assert sorted(listed) == sorted(CATALOGUE)


@pytest.mark.parametrize("code", sorted(CATALOGUE))
def test_an_entry_says_what_it_means_who_acts_and_what_to_do(code):
    item = CATALOGUE[code]
    assert item.code == code
    assert str(item.title)
    assert code not in f"{item.title} {item.explanation}", "the words must do without the code"
    assert len(str(item.explanation)) > 60
    assert str(item.explanation).endswith(".")
    assert item.owner in OWNERS
    for words in (str(item.detection), str(item.help)):
        assert len(words) > 30
        assert words.endswith(".")
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
