"""``make bench-screens``: the lists over a million transactions and their open cases, beside an empty page of the same
project, Django admin over the same rows, a page far back and a polled fragment that has not changed.

The web server as the Procfile starts it, all middleware, a signed-in controller of the whole firm; one kept-alive connection
asks one page after the other, every page once before any is asked again. ``ROWS=`` transactions, ``N=`` times a round,
``ROUNDS=`` rounds.
"""

from __future__ import annotations

import argparse
import re
import sys

import psycopg

from benchmarks import data, harness, pages
from benchmarks.harness import Bench, Contender, Goal
from benchmarks.pages import Page, Site

METRICS = {"p50_ms": ("answer p50, ms", 1), "p95_ms": ("answer p95, ms", 1)}
LIST, DEEP, UNCHANGED, ADMIN = (
    "transactions",
    "transactions, far back",
    "transactions, unchanged",
    "admin, transactions",
)
CASES, CASES_DEEP, CASES_ADMIN = "cases", "cases, far back", "admin, cases"
ADMIN_DEEP, CASES_ADMIN_DEEP = "admin, transactions, far back", "admin, cases, far back"
ADMINS = (ADMIN, ADMIN_DEEP, CASES_ADMIN, CASES_ADMIN_DEEP)
#: Rows of a page of admin, as Django's ``list_per_page`` is set for the bench.
ADMIN_ROWS = 50
EMPTY, BARE = "empty page", "bare template"
GOALS = (
    Goal("p95, list of transactions to the empty page", "p95_ms", LIST, EMPTY, at_most=2.5),
    Goal("p95, list of cases to the empty page", "p95_ms", CASES, EMPTY, at_most=2.5),
    Goal("p95, list of transactions to a bare template behind the same middleware", "p95_ms", LIST, BARE),
    Goal("p50, transactions far back to the first page", "p50_ms", DEEP, LIST, at_most=2),
    Goal("p50, cases far back to the first page", "p50_ms", CASES_DEEP, CASES, at_most=2),
    Goal("p50, list of transactions to its unchanged fragment (204)", "p50_ms", LIST, UNCHANGED, at_least=15),
    Goal(
        "p50, admin's changelist of transactions far back to ours far back",
        "p50_ms",
        ADMIN_DEEP,
        DEEP,
        at_least=20,
    ),
    Goal(
        "p50, admin's changelist of cases far back to ours far back",
        "p50_ms",
        CASES_ADMIN_DEEP,
        CASES_DEEP,
        at_least=20,
    ),
    Goal("p50, admin's first page of transactions to ours", "p50_ms", ADMIN, LIST),
    Goal("p50, admin's first page of cases to ours", "p50_ms", CASES_ADMIN, CASES),
)
WHAT = {
    EMPTY: "The frame of every signed-in page, with nothing in it.",
    BARE: "The same middleware, session and permission; a template of one line.",
    LIST: "50 rows, facets, exact total.",
    DEEP: "50 rows from the middle of the table.",
    UNCHANGED: "What an open page asks with `?v=`: 204.",
    ADMIN: "Django admin, the same columns, 50 rows.",
    CASES: "The open cases by deadline, 40 rows, held and facets.",
    CASES_DEEP: "40 rows from the middle of the open cases.",
    ADMIN_DEEP: "The same page of the table's middle, by offset.",
    CASES_ADMIN: "Django admin over the cases, 50 rows.",
    CASES_ADMIN_DEEP: "The same page of the table's middle, by offset.",
    "Home": "All tiles.",
    "groups": "40 causes by billing held.",
    "one case": "Its page with the list beside it.",
    "search, customer": "By the beginning of a customer's name.",
    "search, nothing": "Words that nothing has.",
}

NOTES = [
    "Goals compare the lists with the frame that every page of the product has; the bare template is told beside.",
    "Admin has its goal at pages far back, where an offset reads all rows before the page. Its first page needs no offset, and"
    " over the cases counts few rows only; that ratio is told without a goal. Admin's list of cases has the closed ones too.",
]


def pages_of(database: str) -> dict[str, Page]:
    """What is asked of the firm in this database, by name."""
    with psycopg.connect(data.dsn(database)) as connection:
        middle = connection.execute("SELECT max(id) / 2, count(*) / 2 FROM sync_transaction").fetchone()
        cases_middle = connection.execute("SELECT count(*) / 2 FROM triage_case").fetchone()
        case = connection.execute(
            "SELECT id, due_at, ref FROM triage_case WHERE resolved_at IS NULL AND due_at IS NOT NULL ORDER BY due_at, id"
            " OFFSET (SELECT count(*) / 2 FROM triage_case WHERE resolved_at IS NULL AND due_at IS NOT NULL) LIMIT 1"
        ).fetchone()
    assert middle is not None
    assert cases_middle is not None
    assert case is not None
    token = f"a{case[0]}~{case[1]:%Y-%m-%dT%H:%M:%S%z}".replace("+", "%2B")
    rows, cases = 'data-row="TX-', 'data-row="EX-'
    return {
        EMPTY: Page("/bench/empty/", 'id="main"'),
        BARE: Page("/bench/bare/", "Bare"),
        LIST: Page("/transactions/", rows, 50),
        DEEP: Page(f"/transactions/?page=a{middle[0]}", rows, 50),
        CASES: Page("/exceptions/?view=cases", cases, 40),
        CASES_DEEP: Page(f"/exceptions/?view=cases&page={token}", cases, 40),
        "Home": Page("/", "spark"),
        "groups": Page("/exceptions/", 'data-row="group-', 40),
        "one case": Page(f"/exceptions/{case[2]}/?view=cases", case[2]),
        "search, customer": Page("/transactions/?q=Aldergate", rows, 1),
        "search, nothing": Page("/transactions/?q=nobody+at+all", "Nothing matches"),
        ADMIN: Page("/admin/sync/transaction/", "TX-", 50),
        ADMIN_DEEP: Page(f"/admin/sync/transaction/?p={middle[1] // ADMIN_ROWS + 1}", "TX-", 50),
        CASES_ADMIN: Page("/admin/triage/case/", "EX-", 50),
        CASES_ADMIN_DEEP: Page(f"/admin/triage/case/?p={cases_middle[0] // ADMIN_ROWS + 1}", "EX-", 50),
    }


def polled(site: Site) -> Page:
    """What the open page asks now and then, taken from the page itself."""
    _, text = site.ask(Page("/transactions/"))
    found = re.search(r'hx-get="(\?v=[^"]+)" hx-trigger="fresh"', text)
    if found is None:
        raise harness.WrongResult("The list does not say how it renews itself.")
    return Page(f"/transactions/{found[1]}".replace("&amp;", "&"), status=204, target="results")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.screens", description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--n", type=int, default=40)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    pages.prepare()
    database = pages.firm_of(given.rows)
    bench = Bench(
        "screens", f"Screens over {given.rows:,} transactions", __doc__ or "", METRICS, GOALS,
        [Contender(name, what, dict) for name, what in WHAT.items()],
    )  # fmt: skip
    wanted = pages_of(database)
    bench.facts = {
        "transactions": given.rows,
        "requests": given.n,
        "rounds": given.rounds,
        **pages.server(database),
    }
    bench.notes = NOTES
    with Site(database) as site:
        pages.in_turn({name: (site, page) for name, page in wanted.items()}, times=3)
        for number in range(1, given.rounds + 1):
            asked = {name: (site, page) for name, page in wanted.items()} | {UNCHANGED: (site, polled(site))}
            found = pages.in_turn(asked, times=given.n, seldom=ADMINS)
            for name, milliseconds in found.items():
                figures = pages.spread(milliseconds)
                bench.runs.setdefault(name, []).append(figures)
                print(
                    f"round {number}/{given.rounds}  {name}: p50 {figures['p50_ms']:.1f}, p95 {figures['p95_ms']:.1f} ms",
                    flush=True,
                )
    sys.exit(harness.keep(bench))


if __name__ == "__main__":
    main()
