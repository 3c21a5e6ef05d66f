"""Middleware: correlation ids on every request and answer; signed-in pages are never stored by a browser.

Public surface: :class:`CorrelationMiddleware`, :class:`DoorMiddleware`, :class:`NoStoreMiddleware`,
:class:`AppErrorMiddleware`.
"""

from __future__ import annotations

from collections.abc import Callable

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import resolve
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


class DoorMiddleware:
    """Addresses where machines bring their events (``settings.DOORS``, prefixes) need nothing of what pages of people need: no
    session, language, form token or message. They go straight to their view, behind what stands before this in the list."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response
        self.doors = tuple(settings.DOORS)

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if not request.path_info.startswith(self.doors):
            return self.get_response(request)
        request.get_host()  # refuses a host that is not ours, as the middleware of pages does
        found = resolve(request.path_info)
        response = found.func(request, *found.args, **found.kwargs)
        response["Content-Length"] = str(len(response.content))  # else it would be sent in chunks
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
