"""Bodies of requests: bounded in size and depth, strict about what is in them.

Public surface: :class:`BoundedJSONParser`, :data:`MAX_BODY`, :func:`declared_size`.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

from django.http import HttpRequest
from django.utils.translation import gettext as _
from rest_framework.exceptions import ParseError
from rest_framework.parsers import JSONParser

from apps.core.errors import TooLarge

#: Bytes of one request body, of a webhook or of an API call.
MAX_BODY = 256 * 1024


def declared_size(request: HttpRequest) -> int:
    """The request's Content-Length in bytes; 0 when it says none."""
    value = request.META.get("CONTENT_LENGTH") or ""
    return int(value) if value.isdigit() else 0


class BoundedJSONParser(JSONParser):
    """JSON of at most 256 KB; refuses NaN, infinities, NUL characters and bottomless nesting."""

    def parse(
        self, stream: Any, media_type: str | None = None, parser_context: Mapping[str, Any] | None = None
    ) -> Any:
        body = stream.read(MAX_BODY + 1)
        if len(body) > MAX_BODY:
            raise TooLarge(_("The request is larger than %(limit)s bytes.") % {"limit": MAX_BODY})
        try:
            data = super().parse(io.BytesIO(body), media_type, parser_context)
            _refuse_nul(data)
        except RecursionError as error:
            raise ParseError(_("The JSON is nested too deeply.")) from error
        return data


def _refuse_nul(value: Any) -> None:
    """PostgreSQL stores no NUL character: better said at the door than as a failure inside."""
    if isinstance(value, str):
        if "\x00" in value:
            raise ParseError(_("Texts must not hold NUL characters."))
    elif isinstance(value, Mapping):
        for name, inner in value.items():
            _refuse_nul(name)
            _refuse_nul(inner)
    elif isinstance(value, list):
        for inner in value:
            _refuse_nul(inner)
