"""Payloads: what was sent and answered, each distinct exchange stored once a month, compressed.

Public surface: :func:`packed`, :class:`Packed`, :data:`STORE`, :data:`COLUMNS`, :func:`unpacked`, :func:`body_of`,
:class:`Damaged`.

An exchange is known by the SHA-256 of its JSON text without its duration, so that a look or a write that is repeated with the
same answer takes no room. Bodies are unique within a month, since retention drops whole months. They are deflated with a
dictionary of what vendors' messages look like: most exchanges are below the 2 KB from which PostgreSQL compresses by itself.
Measured on the demo firm's exchanges (1,034 bytes on average, 29 % repeats), bytes each in all relations: ``jsonb`` 995,
with lz4 1,065, zlib 572, zlib with dictionary 357; request and answer kept apart 651, for their rows cost more than they
save. See docs/rooms/sync.md.
"""

from __future__ import annotations

import hashlib
import json
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from apps.sync.models import Body

#: Every dictionary that ever was stays: bodies name the one that they need by their first byte. Never edit a file.
DICTIONARIES = {1: "8844ac8b311b6481fa00ed6855865059201e01c10b8d0fb4371f51fcea959724"}
_NEWEST = max(DICTIONARIES)
_RAW_DEFLATE = -15

#: Columns of a row that carries a body, as :meth:`Packed.row` gives them (binary as hexadecimal text).
COLUMNS = "payload_month date, payload_digest text, payload_body text"
#: Common table expressions that store the bodies of the rows of a CTE ``{given}``; digests in one order, so that two such
#: statements never wait for each other crosswise.
STORE = """stored AS (
    INSERT INTO sync_body (month, digest, body)
    SELECT payload_month, decode(payload_digest, 'hex'), decode(payload_body, 'hex') FROM {given}
    WHERE payload_digest IS NOT NULL ORDER BY payload_digest, payload_month
    ON CONFLICT (digest, month) DO NOTHING
)"""


class Damaged(Exception):
    """A stored body is not what its digest says."""


@dataclass(frozen=True)
class Packed:
    """``digest`` belongs into the action's row, whose ``created_at`` must be the instant that it was packed for."""

    month: date
    digest: bytes | None
    body: bytes | None

    def row(self) -> dict[str, Any]:
        """As the values of :data:`COLUMNS`."""
        return {
            "payload_month": self.month.isoformat(),
            "payload_digest": None if self.digest is None else self.digest.hex(),
            "payload_body": None if self.body is None else self.body.hex(),
        }


def packed(exchange: Mapping[str, Any] | None, at: datetime) -> Packed:
    """What to store of a redacted exchange (None: nothing) whose attempt is journaled with ``created_at=at``."""
    month = at.astimezone(UTC).date().replace(day=1)
    if exchange is None:
        return Packed(month, None, None)
    told = {name: value for name, value in exchange.items() if name != "elapsed_ms"}
    text = json.dumps(told, ensure_ascii=False, separators=(",", ":"), sort_keys=True, default=str)
    # A lone surrogate, as broken answers hold, has no UTF-8; it is kept as it would be written in JSON.
    raw = text.encode("utf-8", "backslashreplace")
    return Packed(month, hashlib.sha256(raw).digest(), _deflated(raw))


def _deflated(raw: bytes) -> bytes:
    deflate = _deflaters[_NEWEST].copy()
    return bytes([_NEWEST]) + deflate.compress(raw) + deflate.flush()


def unpacked(digest: bytes, body: bytes) -> dict[str, Any]:
    """The exchange again. Raises :class:`Damaged` when it does not fit its digest."""
    try:
        inflate = zlib.decompressobj(_RAW_DEFLATE, zdict=_dictionaries[body[0]])
        raw = inflate.decompress(body[1:]) + inflate.flush()
    except (zlib.error, LookupError) as error:
        raise Damaged("A stored payload cannot be read.") from error
    if hashlib.sha256(raw).digest() != digest:
        raise Damaged("A stored payload is not what was journaled.")
    return json.loads(raw)


def body_of(digest: bytes, at: datetime) -> dict[str, Any] | None:
    """The exchange of an attempt journaled at ``at``; None once retention has dropped it."""
    month = at.astimezone(UTC).date().replace(day=1)
    found = Body.objects.filter(digest=digest, month=month).values_list("body", flat=True).first()
    return None if found is None else unpacked(digest, bytes(found))


def _dictionary(number: int) -> bytes:
    content = Path(__file__).with_name(f"payload_dictionary_{number}.txt").read_bytes()
    if hashlib.sha256(content).hexdigest() != DICTIONARIES[number]:
        raise RuntimeError(f"payload dictionary {number} was changed; stored payloads could not be read")
    return content


_dictionaries = {number: _dictionary(number) for number in DICTIONARIES}
#: Copied for every body: filling the window with the dictionary once is cheaper than each time.
_deflaters = {
    number: zlib.compressobj(6, zlib.DEFLATED, _RAW_DEFLATE, 8, zlib.Z_DEFAULT_STRATEGY, content)
    for number, content in _dictionaries.items()
}
