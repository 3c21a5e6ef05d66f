"""The environment is read through helpers that say in one sentence what is wrong, and take secrets from files."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from cryptography.fernet import Fernet
from django.core.exceptions import ImproperlyConfigured

from pssync_console import environment
from tests.house.scan import ROOT

PRODUCTION = {
    "PSSYNC_ENV": "production",
    "SECRET_KEY": "k" * 60,
    "SECRETS_KEYS": Fernet.generate_key().decode(),
    "ALLOWED_HOSTS": "console.example.com",
    "DATABASE_URL": "postgresql://pssync:pw@db.example.com/pssync",
    "CELERY_BROKER_URL": "amqps://pssync:pw@mq.example.com/pssync",
}


def test_values_are_read_stripped_and_typed(monkeypatch):
    monkeypatch.setenv("X_TEXT", " hello ")
    monkeypatch.setenv("X_LIST", "a, b,,c ")
    monkeypatch.setenv("X_NUMBER", "17")
    monkeypatch.setenv("X_FLAG", "Yes")
    monkeypatch.setenv("X_EMPTY", "")
    assert environment.text("X_TEXT") == "hello"
    assert environment.words("X_LIST") == ["a", "b", "c"]
    assert environment.integer("X_NUMBER", 3) == 17
    assert environment.boolean("X_FLAG", False) is True
    assert environment.integer("X_EMPTY", 3) == 3


def test_a_secret_may_lie_in_a_file(monkeypatch, tmp_path):
    (tmp_path / "key").write_text("from-the-file\n")
    monkeypatch.setenv("X_SECRET_FILE", str(tmp_path / "key"))
    assert environment.text("X_SECRET") == "from-the-file"
    monkeypatch.setenv("X_OTHER_FILE", str(tmp_path / "none"))
    with pytest.raises(ImproperlyConfigured, match=r"X_OTHER_FILE names .* cannot be read"):
        environment.text("X_OTHER")


@pytest.mark.parametrize(
    ("value", "read", "sentence"),
    [
        ("", lambda: environment.text("X"), "X must be set"),
        ("many", lambda: environment.integer("X", 1), "X must be a whole number"),
        ("0", lambda: environment.integer("X", 1, minimum=1), "X must be between 1 and"),
        ("maybe", lambda: environment.boolean("X", True), "X must be one of true"),
        ("staging", lambda: environment.choice("X", "a", ("a", "b")), "X must be one of a, b"),
        (
            "",
            lambda: environment.database("X", "mysql://u:pw@h/db"),
            "starts with postgresql://, not mysql://…",
        ),
        ("", lambda: environment.database("X", "postgresql://h/"), "must name a database"),
        (
            "",
            lambda: environment.broker("X", "sqs://key:pw@"),
            r"redis://, rediss://, redis\+socket://, amqp://, amqps:// or memory://, not sqs://…",
        ),
        (
            "",
            lambda: environment.broker("X", "memory://", production=True),
            r"redis://, rediss://, redis\+socket://, amqp:// or amqps:// in production, not memory://…",
        ),
        ("", lambda: environment.broker("X", "localhost"), "a text without a scheme"),
        ("console.example.com", lambda: environment.address("X", ""), "X must be an address like https://"),
        ("ftp://console.example.com", lambda: environment.address("X", ""), "not ftp://…"),
        ("https://me:pw@example.com", lambda: environment.address("X", ""), "X must be an address"),
        ("https://", lambda: environment.address("X", ""), "X must be an address"),
        ("https://example.com:70000", lambda: environment.address("X", ""), "X must be an address"),
        ("https://example.com/?a=1", lambda: environment.address("X", ""), "X must be an address"),
        ("https://a b.example.com", lambda: environment.address("X", ""), "X must be an address"),
        ("http://127.0.0.1", lambda: environment.address("X", "", port=True), "X must end with its port"),
        ("http://127.0.0.1:1/x", lambda: environment.address("X", "", port=True), "X must end with its port"),
        ("https://a.example.com,b.example.com", lambda: environment.origins("X"), "X must hold origins"),
        ("https://a.example.com/path", lambda: environment.origins("X"), "without a path"),
        ("XYZ", lambda: environment.currency("X", "GBP"), "X must be an ISO 4217 currency code"),
        ("gbp", lambda: environment.currency("X", "GBP"), "such as GBP, not 'gbp'"),
    ],
)
def test_nonsense_is_refused_with_the_name_of_the_variable(monkeypatch, value, read, sentence):
    monkeypatch.setenv("X", value)
    with pytest.raises(ImproperlyConfigured, match=sentence) as error:
        read()
    assert "pw" not in str(error.value)


def test_addresses_origins_and_currencies_are_taken_as_meant(monkeypatch):
    monkeypatch.setenv("X", "https://console.example.com:8443/")
    assert environment.address("X", "") == "https://console.example.com:8443"
    assert environment.address("X", "", port=True) == "https://console.example.com:8443"
    assert environment.address("X_NOT_SET", "http://[::1]:8000") == "http://[::1]:8000"
    monkeypatch.setenv("X", "https://console.example.com, https://*.example.org")
    assert environment.origins("X") == ["https://console.example.com", "https://*.example.org"]
    assert environment.origins("X_NOT_SET") == []
    monkeypatch.setenv("X", "JPY")
    assert environment.currency("X", "GBP") == "JPY"
    assert environment.broker("X", "memory://") == "memory://"


def _check(tmp_path, **variables: str) -> subprocess.CompletedProcess[str]:
    surroundings = {"PATH": os.environ["PATH"], "ENV_FILE": os.devnull, "PSSYNC_HOME": str(tmp_path)}
    return subprocess.run(
        [sys.executable, "manage.py", "check"],
        cwd=ROOT,
        env=surroundings | variables,
        capture_output=True,
        text=True,
    )


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"SECRET_KEY": ""}, "SECRET_KEY must be set"),
        ({"DATABASE_URL": ""}, "DATABASE_URL must be set"),
        ({"SECRETS_KEYS": "short"}, "SECRETS_KEYS holds as key 1 something that is not a Fernet key"),
        ({"DEBUG": "true"}, "DEBUG must not be on"),
        ({"SYNC_LEASE_SECONDS": "2"}, "SYNC_LEASE_SECONDS must"),
        ({"REPORTING_CURRENCY": "POUND"}, "REPORTING_CURRENCY must be an ISO 4217 currency code"),
        ({"PUBLIC_URL": "console.example.com"}, "PUBLIC_URL must be an address like https://"),
        ({"SANDBOX_URL": "http://127.0.0.1"}, "SANDBOX_URL must end with its port"),
        ({"CSRF_TRUSTED_ORIGINS": "console.example.com"}, "CSRF_TRUSTED_ORIGINS must hold origins"),
        (
            {"SYNC_RETRY_BASE_SECONDS": "301"},
            "SYNC_RETRY_BASE_SECONDS must not be longer than SYNC_RETRY_CAP_SECONDS",
        ),
        ({"CELERY_BROKER_URL": "memory://"}, "or amqps:// in production, not memory://…"),
        (
            {"CELERY_BROKER_URL": "redis://b.example.com/0", "BROKER_QUEUE_TYPE": "quorum"},
            "BROKER_QUEUE_TYPE=quorum needs RabbitMQ",
        ),
        ({"DATABASE_POOLING": "session"}, "DATABASE_POOLING must be one of none, transaction"),
        ({"PSSYNC_ENV": "prod"}, "PSSYNC_ENV must be one of embedded, production"),
    ],
)
def test_manage_py_says_one_sentence_and_ends(tmp_path, changed, sentence):
    result = _check(tmp_path, **(PRODUCTION | changed))
    assert result.returncode == 1
    assert result.stderr.startswith("pssync: ")
    assert sentence in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_a_complete_production_environment_is_taken(tmp_path):
    result = _check(tmp_path, **PRODUCTION)
    assert result.returncode == 0, result.stderr


def test_the_embedded_default_makes_its_keys_once(tmp_path):
    assert _check(tmp_path).returncode == 0
    keys = {name: (tmp_path / name).read_text() for name in ("secret.key", "secrets.key")}
    assert Fernet(keys["secrets.key"])
    assert _check(tmp_path).returncode == 0
    assert keys == {name: (tmp_path / name).read_text() for name in keys}
    assert all((tmp_path / name).stat().st_mode & 0o077 == 0 for name in keys)
