"""OAuth 2 between machines: tokens minted once, shared by the threads of a process, renewed once when refused.

Public surface: :class:`OAuth`, :class:`Token`, :func:`client_credentials`, :func:`jwt_bearer`,
:func:`signed_client_credentials`,
:func:`fingerprint`, :func:`forget_tokens`.

Sources: RFC 6749 §4.4 (client credentials), RFC 7523 (JWT bearer grant and JWT client authentication), Salesforce "OAuth 2.0
JWT Bearer Flow", NetSuite "OAuth 2.0 client credentials flow" (PS256/ES256 only).
"""

from __future__ import annotations

import hashlib
import threading
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import jwt

from apps.connectors.protocols.http import Answer, Http
from apps.connectors.spi import AdapterError, ErrorKind
from apps.core import clock

#: A token is not used in its last seconds: it would be refused under way.
EARLY_SECONDS = 30.0
#: After credentials were refused nobody asks again for so long; a stampede of refusals locks accounts.
REFUSED_SECONDS = 5.0
JWT_BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"
CLIENT_ASSERTION = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"


@dataclass(frozen=True)
class Token:
    """``lifetime`` in seconds, None = the vendor does not say; it is used until it is refused."""

    value: str
    lifetime: float | None = None
    answer: Mapping[str, Any] = field(default_factory=dict)


@dataclass
class _Slot:
    lock: threading.Lock = field(default_factory=threading.Lock)
    token: Token | None = None
    ends_at: float | None = None
    error: AdapterError | None = None
    error_until: float = 0.0


_slots: dict[tuple[str, str], _Slot] = {}
_slots_lock = threading.Lock()


def fingerprint(*parts: str) -> str:
    """A digest of credentials, so that changed credentials get a token of their own and no secret is a dictionary key."""
    return hashlib.sha256("\x1f".join(parts).encode()).hexdigest()


def forget_tokens(system: str | None = None) -> None:
    """Drop the cached tokens of a system, or all."""
    with _slots_lock:
        for key in [key for key in _slots if system in (None, key[0])]:
            del _slots[key]


class OAuth:
    """An :class:`~apps.connectors.protocols.http.Authorizer` that mints bearer tokens.

    ``mint`` is called by one thread at a time for a system and set of credentials; the others wait and use its result.
    """

    def __init__(self, *, system: str, credentials: str, mint: Callable[[], Token]) -> None:
        self._key = (system, credentials)
        self._mint = mint

    def token(self) -> Token:
        slot = self._slot()
        token = slot.token
        if token is not None and not _over(slot):
            return token
        with slot.lock:
            if slot.token is not None and not _over(slot):
                return slot.token
            return self._minted(slot)

    def value(self) -> str:
        return f"Bearer {self.token().value}"

    def renew(self, refused: str) -> bool:
        slot = self._slot()
        with slot.lock:
            if slot.token is None or f"Bearer {slot.token.value}" == refused:
                self._minted(slot)  # otherwise another thread has renewed it already
        return True

    def _slot(self) -> _Slot:
        with _slots_lock:
            return _slots.setdefault(self._key, _Slot())

    def _minted(self, slot: _Slot) -> Token:
        if slot.error is not None and time.monotonic() < slot.error_until:
            raise AdapterError(
                slot.error.kind,
                slot.error.message,
                code=slot.error.code,
                vendor_code=slot.error.vendor_code,
                exchange=slot.error.exchange,
            )
        slot.token = None
        try:
            token = self._mint()
        except AdapterError as error:
            if error.kind is ErrorKind.AUTH:
                slot.error, slot.error_until = error, time.monotonic() + REFUSED_SECONDS
            raise
        slot.token, slot.error = token, None
        slot.ends_at = (
            None if token.lifetime is None else time.monotonic() + max(0.0, token.lifetime - EARLY_SECONDS)
        )
        return token


def _over(slot: _Slot) -> bool:
    return slot.ends_at is not None and time.monotonic() >= slot.ends_at


def client_credentials(
    http: Http, *, path: str, client_id: str, client_secret: str, extra: Mapping[str, str] | None = None
) -> Token:
    """RFC 6749 §4.4 with the secret in the body."""
    form = {
        "grant_type": "client_credentials",
        "client_id": client_id,
        "client_secret": client_secret,
        **(extra or {}),
    }
    return _asked(http, path, form)


def jwt_bearer(
    http: Http, *, path: str, issuer: str, subject: str, audience: str, private_key: str, lifetime: int = 180
) -> Token:
    """RFC 7523 §2.1, RS256, as Salesforce takes it (``lifetime`` in seconds, at most about three minutes)."""
    claims = {"iss": issuer, "sub": subject, "aud": audience, "exp": _epoch() + lifetime}
    return _asked(
        http, path, {"grant_type": JWT_BEARER, "assertion": _signed(claims, private_key, "RS256", {})}
    )


def signed_client_credentials(
    http: Http,
    *,
    path: str,
    audience: str,
    client_id: str,
    certificate_id: str,
    private_key: str,
    algorithm: str = "PS256",
    scope: str | Sequence[str] = "rest_webservices",
    slack: int = 900,
) -> Token:
    """Client credentials proven by a signed assertion (RFC 7523 §2.2), as NetSuite takes it (one hour long at most).

    ``slack``: by how many seconds our clock may be wrong; the assertion is good for so long before and after now.
    ``audience`` is the public token URL; ``scope`` goes into the assertion; ``algorithm`` PS256/384/512 or ES256/384/512.
    """
    now = _epoch()
    claims = {
        "iss": client_id,
        "scope": scope if isinstance(scope, str) else list(scope),
        "aud": audience,
        "iat": now - slack,
        "exp": now + slack,
        "jti": str(uuid.uuid4()),
    }
    assertion = _signed(claims, private_key, algorithm, {"kid": certificate_id, "typ": "JWT"})
    form = {
        "grant_type": "client_credentials",
        "client_assertion_type": CLIENT_ASSERTION,
        "client_assertion": assertion,
    }
    return _asked(http, path, form)


def _epoch() -> int:
    return int(clock.now().timestamp())


def _signed(claims: Mapping[str, Any], private_key: str, algorithm: str, headers: dict[str, str]) -> str:
    try:
        return jwt.encode(dict(claims), private_key, algorithm=algorithm, headers=headers)
    except (ValueError, TypeError, NotImplementedError, jwt.PyJWTError) as error:
        raise AdapterError(
            ErrorKind.AUTH,
            "The private key of this connection cannot be read or does not fit its algorithm.",
            code="INT-AUTH",
        ) from error


def _asked(http: Http, path: str, form: Mapping[str, str]) -> Token:
    """Ask the token endpoint. Minting twice harms nobody, so it counts as a read."""
    answer = http.post(path, form=form, write=False, expect=(400, 401, 403))
    if answer.status >= 400:
        raise _refused(http, answer)
    body = answer.body()
    if not isinstance(body, dict) or not body.get("access_token"):
        raise AdapterError(
            ErrorKind.CONTRACT_DRIFT,
            f"{http.system} answered the sign-in without a token.",
            code="INT-SCHEMA",
            exchange=answer.exchange,
        )
    lifetime = body.get("expires_in")
    try:
        seconds = None if lifetime in (None, "") else float(lifetime)
    except (TypeError, ValueError):
        seconds = None
    return Token(value=str(body["access_token"]), lifetime=seconds, answer=body)


def _refused(http: Http, answer: Answer) -> AdapterError:
    """RFC 6749 §5.2 errors; ``rate_limit_exceeded`` is Salesforce's own."""
    body = answer.data if isinstance(answer.data, dict) else {}
    code = str(body.get("error") or answer.status)
    if code in ("rate_limit_exceeded", "slow_down"):
        return AdapterError(
            ErrorKind.RATE_LIMITED,
            f"{http.system} asks us to sign in less often.",
            code="INT-RATE",
            vendor_code=code,
            exchange=answer.exchange,
        )
    text = str(body.get("error_description") or code)
    return AdapterError(
        ErrorKind.AUTH,
        f"{http.system} refused our credentials: {text}",
        code="INT-AUTH",
        vendor_code=code,
        exchange=answer.exchange,
    )
