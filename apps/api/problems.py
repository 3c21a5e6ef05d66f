"""Problem documents (RFC 9457): every refusal of this room in one shape, mapped in one place.

Public surface: :func:`problem`, :func:`app_error_problem`, :func:`exception_handler` (named by ``EXCEPTION_HANDLER``).

``{"type": "urn:pssync:problem:…", "title", "status", "detail", "correlation_id"}`` and, where they apply, ``code``
(catalogue), ``errors`` (field → what is wrong) and ``who`` (who could act instead).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import structlog
from django.core.exceptions import PermissionDenied
from django.core.signals import got_request_exception
from django.http import Http404, JsonResponse
from django.utils.translation import gettext as _
from rest_framework import exceptions

from apps.core import correlation
from apps.core.errors import AppError

log = structlog.get_logger(__name__)
CONTENT_TYPE = "application/problem+json"


def problem(
    status: int,
    *,
    type: str,
    title: str,
    detail: str,
    headers: Mapping[str, str] | None = None,
    **extra: Any,
) -> JsonResponse:
    """A problem document; ``extra`` members that are empty are left out."""
    document = {
        "type": f"urn:pssync:problem:{type}",
        "title": title,
        "status": status,
        "detail": detail,
        "correlation_id": correlation.current(),
        **{name: value for name, value in extra.items() if value},
    }
    response = JsonResponse(document, status=status, content_type=CONTENT_TYPE, headers=dict(headers or {}))
    response["Cache-Control"] = "no-store"
    return response


def app_error_problem(error: AppError) -> JsonResponse:
    """An application error as its problem document."""
    return problem(
        error.status,
        type=error.type,
        title=error.title,
        detail=error.message,
        code=error.code,
        errors=getattr(error, "fields", None),
        who=getattr(error, "who", ""),
    )


def exception_handler(error: Exception, context: Mapping[str, Any]) -> JsonResponse:
    """DRF's one exception handler: application errors, DRF's own, and what nobody expected (500, without details)."""
    if isinstance(error, AppError):
        return app_error_problem(error)
    if isinstance(error, Http404):
        error = exceptions.NotFound()
    elif isinstance(error, PermissionDenied):
        error = exceptions.PermissionDenied()
    if isinstance(error, exceptions.APIException):
        return _api_problem(error)
    log.exception("api_failed")
    got_request_exception.send(sender=exception_handler, request=context.get("request"))
    return problem(
        500, type="error", title=_("Something went wrong"), detail=_("The error was logged; try again later.")
    )


def _api_problem(error: exceptions.APIException) -> JsonResponse:
    headers = {}
    sign_in_by, wait = getattr(error, "auth_header", None), getattr(error, "wait", None)
    if sign_in_by:
        headers["WWW-Authenticate"] = sign_in_by
    if wait is not None:
        headers["Retry-After"] = str(max(1, math.ceil(wait)))
    fields = _flat(error.detail) if isinstance(error, exceptions.ValidationError) else {}
    title = HTTPStatus(error.status_code).phrase
    detail = _("Some fields are not right.") if fields else str(error.detail)
    kind = "invalid-input" if fields else title.lower().replace(" ", "-")
    return problem(error.status_code, type=kind, title=title, detail=detail, headers=headers, errors=fields)


def _flat(detail: Any, path: str = "") -> dict[str, str]:
    """Nested DRF details as ``{"deal.lines.0.amount": "…"}``."""
    if isinstance(detail, Mapping):
        found: dict[str, str] = {}
        for name, inner in detail.items():
            found |= _flat(inner, f"{path}.{name}" if path else str(name))
        return found
    if isinstance(detail, list):
        if all(isinstance(inner, str) for inner in detail):
            return {path or "body": " ".join(str(inner) for inner in detail)}
        found = {}
        for index, inner in enumerate(detail):
            found |= _flat(inner, f"{path}.{index}" if path else str(index))
        return found
    return {path or "body": str(detail)}
