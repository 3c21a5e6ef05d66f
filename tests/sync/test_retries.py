"""What follows from an outside error."""

import random

import pytest

from apps.connectors.spi import AdapterError, ErrorKind
from apps.sync.retries import decide


@pytest.fixture(autouse=True)
def budget(settings):
    settings.SYNC_MAX_ATTEMPTS = 5
    settings.SYNC_RETRY_BASE_SECONDS = 2
    settings.SYNC_RETRY_CAP_SECONDS = 60


def error(kind, **more):
    return AdapterError(kind, "The system said no.", **more)


@pytest.mark.parametrize(
    "kind", [ErrorKind.TRANSIENT, ErrorKind.RATE_LIMITED, ErrorKind.CONFLICT, ErrorKind.UNKNOWN]
)
def test_passing_errors_are_retried(kind):
    assert decide(error(kind), attempts=1).verdict == "retry"


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        (ErrorKind.AUTH, "INT-AUTH"),
        (ErrorKind.PERMISSION, "INT-PERM"),
        (ErrorKind.CONTRACT_DRIFT, "INT-SCHEMA"),
        (ErrorKind.REJECTED, "INT-REJECTED"),
    ],
)
def test_errors_that_only_a_person_can_solve_are_held_with_their_code(kind, code):
    decision = decide(error(kind), attempts=1)
    assert (decision.verdict, decision.code) == ("hold", code)


@pytest.mark.parametrize("object_type", ["invoice", "invoice_line", "payment"])
def test_an_unknown_outcome_is_an_invoices_matter_only_where_money_moves(object_type):
    def code(of):
        return decide(error(ErrorKind.UNKNOWN), attempts=1, object_type=of).code

    assert code(object_type) == "INV-UNKNOWN"
    assert {code(of) for of in ("customer", "project", "deal_status", "rate_card")} == {"PRJ-PARTIAL"}


def test_nobody_has_given_up_while_it_is_tried_again():
    assert decide(error(ErrorKind.TRANSIENT), attempts=1).code == ""


def test_the_vendors_own_code_wins():
    assert decide(error(ErrorKind.REJECTED, code="INV-PERIOD"), attempts=1).code == "INV-PERIOD"


def test_the_delay_is_full_jitter_under_an_exponential_ceiling():
    chance = random.Random(7)
    for attempt, ceiling in ((1, 2), (2, 4), (3, 8), (4, 16)):
        delays = [
            decide(error(ErrorKind.TRANSIENT), attempts=attempt, chance=chance).delay for _ in range(300)
        ]
        assert 0 <= min(delays) < ceiling * 0.1
        assert ceiling * 0.9 < max(delays) <= ceiling


def test_retry_after_is_never_undercut():
    decision = decide(error(ErrorKind.RATE_LIMITED, retry_after=45), attempts=1)
    assert decision.delay >= 45


def test_a_spent_budget_is_a_dead_letter():
    decision = decide(error(ErrorKind.TRANSIENT), attempts=5)
    assert (decision.verdict, decision.code) == ("dead", "INT-POISON")
