"""Credentials at rest: ciphertext under a ring of keys that can be turned."""

from __future__ import annotations

import pytest
from cryptography.fernet import Fernet
from django.core.exceptions import ImproperlyConfigured

from apps.connectors import secrets

OLD, NEW = Fernet.generate_key().decode(), Fernet.generate_key().decode()
VALUES = {"client_secret": "canary-3f9c2b7e11", "private_key": "-----BEGIN…"}


@pytest.fixture(autouse=True)
def _ring(settings):
    settings.SECRETS_KEYS = [OLD]


def test_what_is_stored_is_ciphertext_and_comes_back_whole():
    stored = secrets.encrypt(VALUES, system_id=7)
    assert b"canary" not in stored
    assert b"client_secret" not in stored
    assert secrets.decrypt(stored, system_id=7) == VALUES


def test_a_memory_view_of_the_database_driver_is_read_too():
    assert secrets.decrypt(memoryview(secrets.encrypt(VALUES, system_id=7)), system_id=7) == VALUES


def test_nothing_stored_is_nothing():
    assert secrets.decrypt(b"", system_id=7) == {}


def test_a_wrong_key_fails_closed_and_says_what_to_do(settings):
    stored = secrets.encrypt(VALUES, system_id=7)
    settings.SECRETS_KEYS = [NEW]
    with pytest.raises(secrets.SecretsUnreadable) as caught:
        secrets.decrypt(stored, system_id=7)
    assert "SECRETS_KEYS" in caught.value.message
    assert "canary" not in caught.value.message


@pytest.mark.parametrize(
    "change", [lambda text: text[:-4] + b"AAAA", lambda text: b"garbage", lambda text: text[1:]]
)
def test_altered_ciphertext_fails_closed(change):
    with pytest.raises(secrets.SecretsUnreadable):
        secrets.decrypt(change(secrets.encrypt(VALUES, system_id=7)), system_id=7)


def test_ciphertext_of_another_system_is_refused():
    with pytest.raises(secrets.SecretsUnreadable):
        secrets.decrypt(secrets.encrypt(VALUES, system_id=7), system_id=8)


def test_keys_are_turned_without_losing_anything(settings):
    stored = secrets.encrypt(VALUES, system_id=7)
    settings.SECRETS_KEYS = [NEW, OLD]
    assert secrets.decrypt(stored, system_id=7) == VALUES
    turned = secrets.rotate(stored)
    settings.SECRETS_KEYS = [NEW]
    assert secrets.decrypt(turned, system_id=7) == VALUES


@pytest.mark.parametrize("keys", [[], [""], ["not a key"]])
def test_without_a_usable_key_nothing_is_stored(settings, keys):
    settings.SECRETS_KEYS = keys
    with pytest.raises(ImproperlyConfigured):
        secrets.encrypt(VALUES, system_id=7)
