"""Credentials at rest: Fernet ciphertext under a ring of keys (``settings.SECRETS_KEYS``, newest first).

Public surface: :func:`encrypt`, :func:`decrypt`, :func:`rotate`, :class:`SecretsUnreadable`.

The first key encrypts, every key decrypts: to rotate, put a new key in front, run ``rotate``, then drop the old one.
The ciphertext names the system it belongs to, so a row copied over another one is refused. Losing all keys loses the
credentials and nothing else; they are typed in again.
Source: Fernet specification as implemented by ``cryptography`` (AES-128-CBC with HMAC-SHA256).
"""

from __future__ import annotations

import json
from collections.abc import Mapping

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from apps.core.errors import Unavailable


class SecretsUnreadable(Unavailable):
    """Stored credentials cannot be opened with the configured keys."""


def encrypt(values: Mapping[str, str], *, system_id: int) -> bytes:
    """Ciphertext of named secrets for one system."""
    plain = json.dumps({"system": system_id, "values": dict(values)}, ensure_ascii=False)
    return _ring().encrypt(plain.encode())


def decrypt(ciphertext: bytes | memoryview, *, system_id: int) -> dict[str, str]:
    """The named secrets; an empty ciphertext holds none. Raises :class:`SecretsUnreadable`."""
    if not ciphertext:
        return {}
    try:
        content = json.loads(_ring().decrypt(bytes(ciphertext)))
    except InvalidToken:
        raise SecretsUnreadable(
            "The stored credentials cannot be opened with the configured keys. "
            "Put the former key back into SECRETS_KEYS, or enter the credentials again."
        ) from None
    if content.get("system") != system_id:
        raise SecretsUnreadable("The stored credentials belong to another system. Enter them again.")
    return dict(content["values"])


def rotate(ciphertext: bytes | memoryview) -> bytes:
    """The same content under the newest key. Raises :class:`SecretsUnreadable`."""
    if not ciphertext:
        return b""
    try:
        return _ring().rotate(bytes(ciphertext))
    except InvalidToken:
        raise SecretsUnreadable("The stored credentials cannot be opened with the configured keys.") from None


def _ring() -> MultiFernet:
    keys = [key for key in getattr(settings, "SECRETS_KEYS", ()) if key]
    if not keys:
        raise ImproperlyConfigured(
            "SECRETS_KEYS is empty: credentials of vendor systems cannot be stored or read."
        )
    try:
        return MultiFernet([Fernet(key) for key in keys])
    except ValueError as error:
        raise ImproperlyConfigured(
            "SECRETS_KEYS holds something that is not a Fernet key (32 bytes, URL-safe base64)."
        ) from error
