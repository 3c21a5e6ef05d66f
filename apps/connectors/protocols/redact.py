"""What must not be stored: secrets never, personal data only where a person may reveal it.

Public surface: :func:`secrets`, :func:`personal`, :func:`storable`, :func:`headers`, :func:`url`, :data:`MASK`.

Redaction walks mappings and lists to any depth, looks into strings that hold JSON, forms or base64 of either, and
also masks known secret values wherever they appear, so that a token echoed in an error message does not get through.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

MASK = "•••"

_SECRET_NAME = re.compile(
    r"(authori[sz]ation|password|passwd|passphrase|secret|api_?key|access_?key|private_?key|access_?token|refresh_?token"
    r"|id_?token|^token$|_token$|session_?id|^sid$|client_?assertion|^assertion$|signature|^sig$|cookie|credential|^x-api-key$)",
    re.IGNORECASE,
)
_SECRET_VALUE = re.compile(
    r"((?:sk|rk|pk)_(?:live|test)_[A-Za-z0-9]{6,}"  # Stripe keys
    r"|whs[ek]c?_[A-Za-z0-9+/=]{6,}"  # Standard Webhooks and Stripe webhook secrets
    r"|xox[abpsr]-[A-Za-z0-9-]{6,}"  # Slack tokens
    r"|eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{4,}\.[A-Za-z0-9_-]*"  # JSON Web Tokens
    r"|(?<=Bearer )[A-Za-z0-9._~+/!=-]{8,}|(?<=Basic )[A-Za-z0-9+/=]{8,}"
    r"|-----BEGIN [A-Z ]*PRIVATE KEY-----[\s\S]*?(?:-----END [A-Z ]*PRIVATE KEY-----|$)"
    r"|00D[A-Za-z0-9]{12,15}![A-Za-z0-9._]{8,})"  # Salesforce session ids
)
_PERSONAL_NAME = re.compile(
    r"(e[-_]?mail|phone|mobile|^fax$|first_?name|last_?name|full_?name|given_?name|family_?name|birth|street|^addr(ess)?_?line|^addr\d$"
    r"|^line\d$|^postal_?code$|^billingpostalcode$|^zip$|^iban$|^person$|project_?manager|addressee|attention|^user_?name$|passport|national_?id)",
    re.IGNORECASE,
)
_HIDDEN_NAME = re.compile(f"{_SECRET_NAME.pattern}|{_PERSONAL_NAME.pattern}", re.IGNORECASE)
#: Something that every secret of a known shape and every address has; most texts have none of it.
_TELLING = re.compile(r"[_@!]|xox|eyJ|(?:Bearer|Basic) |-----BEGIN")
#: What makes a text worth looking into: it may hold JSON, a form, base64.
_HOLDING = re.compile(r"^\s*[{\[]|=|^\s*[A-Za-z0-9+/_-]{24,}={0,2}\s*$")
_EMAIL = re.compile(r"[A-Za-z0-9._%+'-]+@[A-Za-z0-9.-]+\.[A-Za-z]{2,}")
_BASE64 = re.compile(r"^[A-Za-z0-9+/_-]{24,}={0,2}$")
_DEPTH = 60
#: Nothing shorter is a secret or an address.
_SHORTEST = 6


def secrets(value: Any, *, known: Iterable[str] = ()) -> Any:
    """A copy of plain data without secrets: masked by field name, by shape (keys, tokens) and by ``known`` values."""
    values = _longest_first(tuple(known))

    def clean(text: str) -> str:
        for secret in values:
            text = text.replace(secret, MASK)
        return _SECRET_VALUE.sub(MASK, text)

    return _walk(value, _SECRET_NAME, clean, 0)


@lru_cache(maxsize=256)
def _longest_first(known: tuple[str, ...]) -> list[str]:
    return sorted({text for text in known if text and len(text) >= _SHORTEST}, key=len, reverse=True)


def personal(value: Any) -> Any:
    """A copy of plain data without personal data: by field name (names, addresses, telephones), e-mail addresses anywhere."""
    return _walk(value, _PERSONAL_NAME, lambda text: _EMAIL.sub(MASK, text), 0)


def storable(value: Any, *, known: Iterable[str] = ()) -> Any:
    """A copy without secrets (also the ``known`` ones) and without personal data, in one walk."""
    values = _longest_first(tuple(known))

    def clean(text: str) -> str:
        if len(text) < _SHORTEST:
            return text
        for secret in values:
            if secret in text:
                text = text.replace(secret, MASK)
        if _TELLING.search(text) is None:
            return text
        text = _SECRET_VALUE.sub(MASK, text)
        return _EMAIL.sub(MASK, text) if "@" in text else text

    return _walk(value, _HIDDEN_NAME, clean, 0)


def headers(values: Mapping[str, str], *, known: Iterable[str] = ()) -> dict[str, str]:
    """HTTP headers without credentials and signatures."""
    return secrets({str(name): str(value) for name, value in values.items()}, known=known)


def url(value: str, *, known: Iterable[str] = ()) -> str:
    """A URL without user info and without secret query parameters."""
    parts = urlsplit(value)
    netloc = parts.netloc.rsplit("@", 1)[-1]
    query = parts.query
    if query:
        pairs = parse_qsl(query, keep_blank_values=True)
        cleaned = [(name, MASK if _SECRET_NAME.search(name) else text) for name, text in pairs]
        if cleaned != pairs:
            query = urlencode(cleaned)
    return secrets(urlunsplit((parts.scheme, netloc, parts.path, query, "")), known=known)


def _walk(value: Any, names: re.Pattern[str], clean: Callable[[str], str], depth: int) -> Any:
    if depth > _DEPTH:
        return MASK  # too deep to judge is too deep to keep
    if isinstance(value, str):
        return _text(value, names, clean, depth)
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, Mapping):
        return {
            clean(str(name)): _mask(item)
            if _hidden(names, str(name))
            else _walk(item, names, clean, depth + 1)
            for name, item in value.items()
        }
    if isinstance(value, list | tuple | set | frozenset):
        return [_walk(item, names, clean, depth + 1) for item in value]
    if isinstance(value, bytes):
        return _text(value.decode("utf-8", "replace"), names, clean, depth)
    return value


def _mask(value: Any) -> Any:
    """Empty stays empty: that a field was not filled is no secret and explains many errors."""
    return value if value in (None, "", [], {}) or isinstance(value, bool) else MASK


@lru_cache(maxsize=8192)
def _hidden(names: re.Pattern[str], name: str) -> bool:
    """Field names come again and again."""
    return bool(names.search(_last_name(name)))


def _last_name(name: str) -> str:
    """The innermost name of a form field: ``address[line1]`` → ``line1``, ``metadata[api_key]`` → ``api_key``."""
    found = re.findall(r"\[([^\[\]]+)\]", name)
    named = [part for part in found if not part.isdigit()]
    return named[-1] if named else re.sub(r"(\[\d*\])+$", "", name)


def _text(text: str, names: re.Pattern[str], clean: Callable[[str], str], depth: int) -> str:
    if _HOLDING.search(text) is None:
        return clean(text)
    stripped = text.strip()
    if stripped[:1] in ("{", "["):
        try:
            inner = json.loads(stripped)
        except ValueError:
            inner = None
        if isinstance(inner, dict | list):
            return json.dumps(_walk(inner, names, clean, depth + 1), ensure_ascii=False)
    if _BASE64.match(stripped):
        decoded = _decoded(stripped)
        if decoded is not None:
            cleaned = _text(decoded, names, clean, depth + 1) if depth < _DEPTH else MASK
            if cleaned != decoded and not _same_json(cleaned, decoded):
                return MASK
    if "=" in stripped and "\n" not in stripped and " " not in stripped and len(stripped) < 100_000:
        pairs = parse_qsl(stripped, keep_blank_values=True)
        if pairs and any(names.search(_last_name(name)) for name, item in pairs if item):
            return urlencode(
                [
                    (name, MASK if item and names.search(_last_name(name)) else clean(item))
                    for name, item in pairs
                ]
            )
    return clean(text)


def _same_json(one: str, other: str) -> bool:
    try:
        return json.loads(one) == json.loads(other)
    except ValueError:
        return False


def _decoded(text: str) -> str | None:
    try:
        return base64.b64decode(text.replace("-", "+").replace("_", "/") + "==", validate=False).decode(
            "utf-8"
        )
    except (binascii.Error, ValueError):
        return None
