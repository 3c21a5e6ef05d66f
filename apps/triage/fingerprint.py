"""What makes two problems the same: the fingerprint of a group.

Public surface: :func:`fingerprint`, :func:`value_of`, :func:`strip`.

Equal are legal entity, flow, step, code, object type, field and value, with ids, amounts and dates taken out of the value:
two deals whose totals differ by other amounts have the same kind of problem. The value of a code that a mapping fixes stays
as it is: services 10001 and 10002 are two causes with a partner each, whatever they look like.
"""

from __future__ import annotations

import hashlib
import json
import re

from apps.triage.catalogue import entry

# The order matters: a date or an id holds digits that a later pattern would take apart.
_VOLATILE = (
    (re.compile(r"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b", re.IGNORECASE), "<id>"),
    (re.compile(r"\b\d{4}-\d{2}-\d{2}(?:T[0-9:.+Z-]+)?\b"), "<date>"),
    # CRM record ids: 15 characters, or 18 with the case-safe suffix, with digits and letters (Salesforce id format).
    (re.compile(r"\b(?=[A-Za-z]*\d)(?=\d*[A-Za-z])[A-Za-z0-9]{15}(?:[A-Z0-5]{3})?\b"), "<id>"),
    (re.compile(r"(?<![\w.-])-?\d{1,3}(?:,\d{3})+(?:\.\d+)?(?![\w-])"), "<amount>"),
    (re.compile(r"(?<![\w.-])-?\d+\.\d+(?![\w.-])"), "<amount>"),
    (re.compile(r"(?<![\w.-])\d{5,}(?![\w-])"), "<number>"),
)


def strip(value: str) -> str:
    """``value`` without ids, amounts and dates, and without needless white space."""
    for pattern, word in _VOLATILE:
        value = pattern.sub(word, value)
    return " ".join(value.split())


def value_of(code: str, value: str) -> str:
    """The value as it tells causes of this code apart."""
    return value.strip() if entry(code).mapping_kind else strip(value)


def fingerprint(
    *, legal_entity_id: int | None, flow: str, step: str, code: str, object_type: str, field: str, value: str
) -> str:
    """SHA-256 in hex; the parts are joined as JSON so that no two different lists make the same text."""
    parts = [legal_entity_id, flow, strip(step), code, object_type, field, value_of(code, value)]
    return hashlib.sha256(json.dumps(parts, ensure_ascii=False).encode()).hexdigest()
