"""Middleware: correlation ids on every request and answer; signed-in pages are never stored by a browser.

Public surface: :class:`CorrelationMiddleware`, :class:`NoStoreMiddleware`, :class:`AppErrorMiddleware`.
"""

from __future__ import annotations

from collections.abc import Callable

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.cache import patch_vary_headers

from apps.core import correlation
from apps.core.errors import AppError

GetResponse = Callable[[HttpRequest], HttpResponse]


class CorrelationMiddleware:
    """Binds the inbound ``X-Correlation-Id`` (a UUID) or a new one, and answers with it."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        inbound = correlation.parse(request.headers.get(correlation.HEADER))
        with correlation.bind(inbound or None) as bound:
            request.correlation_id = bound  # type: ignore[attr-defined]  # for lines that Django writes after us
            response = self.get_response(request)
            response[correlation.HEADER] = bound
            return response


class NoStoreMiddleware:
    """``Cache-Control: no-store`` on pages of a signed-in person (ASVS 14.3); fragments vary by ``HX-Request``."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        user = getattr(request, "user", None)
        if user is not None and user.is_authenticated:
            response["Cache-Control"] = "no-store"
        if response.get("Content-Type", "").startswith("text/html"):
            patch_vary_headers(response, ["HX-Request"])
        return response


class AppErrorMiddleware:
    """Turns an :class:`AppError` of a page into its designed page or fragment with the right status."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return self.get_response(request)

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        if not isinstance(exception, AppError):
            return None
        template = "errors/fragment.html" if request.headers.get("HX-Request") else "errors/app_error.html"
        return render(request, template, {"error": exception}, status=exception.status)
