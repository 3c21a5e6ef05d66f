"""Bearer tokens and signed assertions.

Public surface: issue, check, expire, verify_assertion, basic, bearer.
"""

import base64
import binascii
import secrets
import time

from .http import Request
from .store import Store


def issue(store: Store, system: str, *, seconds: float, prefix: str = "") -> str:
    """Mint an opaque token living this many seconds."""
    token = prefix + secrets.token_urlsafe(32)
    store.execute("INSERT INTO tokens VALUES (?,?,?)", (token, system, time.time() + seconds))
    return token


def check(store: Store, system: str, token: str) -> bool:
    rows = store.query("SELECT expires FROM tokens WHERE token = ? AND system = ?", (token, system))
    return bool(rows) and rows[0][0] > time.time()


def expire(store: Store, system: str) -> int:
    """End every token of the system at once; returns how many lived."""
    return store.execute("DELETE FROM tokens WHERE system = ?", (system,)).rowcount


def bearer(request: Request) -> str:
    kind, _, token = request.header("authorization").partition(" ")
    return token.strip() if kind.lower() in ("bearer", "oauth") else ""


def basic(request: Request) -> tuple[str, str] | None:
    kind, _, value = request.header("authorization").partition(" ")
    if kind.lower() != "basic":
        return None
    try:
        user, _, password = base64.b64decode(value).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return None
    return user, password


def public_key(pem: str):
    """The public key inside a PEM certificate or PEM public key."""
    from cryptography import x509
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    data = pem.encode()
    if "BEGIN CERTIFICATE" in pem:
        return x509.load_pem_x509_certificate(data).public_key()
    return load_pem_public_key(data)


def verify_assertion(assertion: str, *, pem: str, algorithms: list[str]) -> dict:
    """Claims of a JWT whose signature holds (RFC 7519). Audience and times are the caller's to judge.

    Raises ValueError when the assertion is malformed or signed by another key or algorithm.
    """
    import jwt

    options = {"verify_aud": False, "verify_exp": False, "verify_iat": False, "verify_nbf": False}
    try:
        return jwt.decode(assertion, public_key(pem), algorithms=algorithms, options=options)
    except jwt.PyJWTError as error:
        raise ValueError(str(error)) from error


def assertion_header(assertion: str) -> dict:
    import jwt

    try:
        return jwt.get_unverified_header(assertion)
    except jwt.PyJWTError as error:
        raise ValueError(str(error)) from error
