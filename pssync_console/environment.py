"""The environment, read through typed helpers that are loud on nonsense.

Public surface: :func:`text`, :func:`integer`, :func:`boolean`, :func:`choice`, :func:`words`,
:func:`database`, :func:`broker`, :func:`address`, :func:`origins`, :func:`currency`, :func:`is_set`.
Every helper also reads ``NAME_FILE`` (a path to a file that holds the value, as container secrets are mounted),
strips white space and raises ``ImproperlyConfigured`` with one sentence that names the variable. An empty value
means unset. A ``.env`` file beside ``manage.py`` (another path with ``ENV_FILE``) fills in what the environment
does not say.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, urlsplit

import environ
from django.core.exceptions import ImproperlyConfigured
from moneyed import CURRENCIES

BASE_DIR = Path(__file__).resolve().parent.parent
DATABASE_SCHEMES = ("postgres", "postgresql")
BROKER_SCHEMES = ("redis", "rediss", "redis+socket", "amqp", "amqps", "memory")
TRUE, FALSE = {"1", "true", "yes", "on"}, {"0", "false", "no", "off"}

environ.Env.read_env(os.environ.get("ENV_FILE") or str(BASE_DIR / ".env"))
_env = environ.FileAwareEnv()


def _raw(name: str) -> str:
    try:
        return str(_env.ENVIRON.get(name) or "").strip()
    except OSError as error:
        path = os.environ.get(f"{name}_FILE")
        raise ImproperlyConfigured(
            f"{name}_FILE names {path}, which cannot be read ({error.strerror})."
        ) from error


def is_set(name: str) -> bool:
    return bool(_raw(name))


def text(name: str, default: str | None = None) -> str:
    """The value, or ``default``; without a default the variable is required."""
    value = _raw(name)
    if value:
        return value
    if default is None:
        raise ImproperlyConfigured(f"{name} must be set (or {name}_FILE must name a file that holds it).")
    return default


def integer(name: str, default: int, *, minimum: int = 0, maximum: int = 2**31) -> int:
    value = _raw(name)
    if not value:
        return default
    try:
        number = int(value)
    except ValueError:
        raise ImproperlyConfigured(f"{name} must be a whole number, not {value!r}.") from None
    if not minimum <= number <= maximum:
        raise ImproperlyConfigured(f"{name} must be between {minimum} and {maximum}, not {number}.")
    return number


def boolean(name: str, default: bool) -> bool:
    value = _raw(name).lower()
    if not value:
        return default
    if value not in TRUE | FALSE:
        raise ImproperlyConfigured(f"{name} must be one of true, false, yes, no, 1, 0, not {value!r}.")
    return value in TRUE


def choice(name: str, default: str, allowed: tuple[str, ...]) -> str:
    value = _raw(name) or default
    if value not in allowed:
        raise ImproperlyConfigured(f"{name} must be one of {', '.join(allowed)}, not {value!r}.")
    return value


def words(name: str, default: str | None = None) -> list[str]:
    """A comma-separated list without blanks; required when there is no default."""
    return [word for word in (part.strip() for part in text(name, default).split(",")) if word]


def database(name: str, url: str) -> dict[str, Any]:
    """Django's ``DATABASES`` entry of a PostgreSQL URL (``postgresql://user:password@host:port/name?sslmode=…``)."""
    if _scheme(url) not in DATABASE_SCHEMES:
        raise ImproperlyConfigured(
            f"{name} must be a PostgreSQL address that starts with postgresql://, not {_shown(url)}."
        )
    try:
        entry = dict(environ.Env.db_url_config(url))
    except ValueError as error:
        raise ImproperlyConfigured(f"{name} is not a readable PostgreSQL address ({error}).") from error
    if not entry.get("NAME"):
        raise ImproperlyConfigured(f"{name} must name a database after the last slash.")
    return entry | {"ENGINE": "django.db.backends.postgresql"}


def broker(name: str, url: str, *, production: bool = False) -> str:
    """A Celery broker URL with a scheme that we support (Redis, RabbitMQ); ``memory://`` is for tests alone."""
    # In memory nobody outside the process hears a bell: web and worker would never meet.
    allowed = [scheme for scheme in BROKER_SCHEMES if not (production and scheme == "memory")]
    if _scheme(url) not in allowed:
        *first, last = (f"{scheme}://" for scheme in allowed)
        where = " in production" if production else ""
        raise ImproperlyConfigured(
            f"{name} must start with {', '.join(first)} or {last}{where}, not {_shown(url)}."
        )
    return url


def address(name: str, default: str, *, port: bool = False) -> str:
    """An http(s) URL without the last slash; with ``port`` it must name one and go no further."""
    url = text(name, default)
    parts = _http_parts(url)
    if parts is None or parts.query or parts.fragment:
        raise ImproperlyConfigured(
            f"{name} must be an address like https://console.example.com, not {_shown(url)}."
        )
    if port and (parts.port is None or parts.path.strip("/")):
        raise ImproperlyConfigured(f"{name} must end with its port, as in http://127.0.0.1:9100.")
    return url.rstrip("/")


def origins(name: str) -> list[str]:
    """Web origins (RFC 6454: scheme, host, perhaps port), separated by commas; none when unset."""
    found = words(name, "")
    for origin in found:
        parts = _http_parts(origin)
        if parts is None or parts.path or parts.query or parts.fragment:
            raise ImproperlyConfigured(
                f"{name} must hold origins like https://console.example.com, without a path, not {_shown(origin)}."
            )
    return found


def currency(name: str, default: str) -> str:
    """An ISO 4217 code, of the same list that amounts of money are checked against."""
    code = text(name, default)
    if code not in CURRENCIES:
        raise ImproperlyConfigured(f"{name} must be an ISO 4217 currency code such as GBP, not {code!r}.")
    return code


def _http_parts(url: str) -> SplitResult | None:
    """The parts of an http(s) URL with a host, or None: white space, a log-in or a port beyond 65535 is nonsense."""
    try:
        parts = urlsplit(url)
        sound = parts.port != 0 and parts.hostname and not parts.username and not re.search(r"\s", url)
    except ValueError:
        return None
    return parts if sound and parts.scheme in ("http", "https") else None


def _scheme(url: str) -> str:
    return urlsplit(url).scheme if "://" in url else ""


def _shown(url: str) -> str:
    # Only the scheme: the rest of an address may hold a password, and errors end in logs.
    return f"{_scheme(url)}://…" if _scheme(url) else "a text without a scheme"
