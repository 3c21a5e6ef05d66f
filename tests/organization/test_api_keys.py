"""Keys of programs: hashed, scoped, expiring, revocable."""

from __future__ import annotations

from datetime import timedelta

import pytest
import time_machine

from apps.core import clock
from apps.core.errors import InvalidInput
from apps.journal import selectors as journal
from apps.organization.apikeys import api_key_authenticate, api_key_create, api_key_revoke
from tests.people import hire

pytestmark = pytest.mark.django_db


def test_a_key_works_until_it_is_revoked_and_is_never_stored_in_plain():
    key, secret = api_key_create(name="crm", scopes=["deal.validate"], by=hire("ada"))
    assert api_key_authenticate(secret).pk == key.pk
    assert secret not in key.hashed_key
    assert secret.partition(".")[2] not in str([row.new for row in journal.history("api_key", key.prefix)])
    assert api_key_revoke(key=key, why="leaked") is True
    assert api_key_revoke(key=key) is False
    assert api_key_authenticate(secret) is None


def test_a_key_expires():
    with time_machine.travel("2026-11-23T08:00:00Z", tick=False) as traveller:
        _key, secret = api_key_create(
            name="crm", scopes=["deal.validate"], expires_at=clock.now() + timedelta(days=1)
        )
        assert api_key_authenticate(secret)
        traveller.shift(timedelta(days=1))
        assert api_key_authenticate(secret) is None


@pytest.mark.parametrize("secret", ["", ".", "x", "abcdefgh.", "a\x00b.c", "ü" * 300, "abcdefgh.wrong"])
def test_nonsense_is_no_key(secret):
    assert api_key_authenticate(secret) is None


@pytest.mark.parametrize("scopes", [[], ["prebill.approve_finance"], ["deal.validate", "system.manage"]])
def test_a_program_gets_no_verb_that_approves_or_manages(scopes):
    with pytest.raises(InvalidInput):
        api_key_create(name="crm", scopes=scopes)
