"""Rendering helpers shared by all screens.

Public surface: :func:`show`, :func:`page_of`, :func:`keyed_page_of`, :class:`Listed`, :func:`with_count`,
:func:`back_to`, :func:`referring`, :class:`Neighbours`,
:func:`neighbours`, :func:`beyond`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlsplit

from django.core.paginator import Page, Paginator
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import formats
from django.utils.http import url_has_allowed_host_and_scheme

from apps.core.keyset import counted, page_by_key

PER_PAGE = 50


def show(
    request: HttpRequest,
    template: str,
    context: dict[str, Any],
    *,
    partials: Sequence[str] = (),
    status: int = 200,
) -> HttpResponse:
    """The page, or only the named partial when htmx asks for the element of that id.

    One template serves both, so a link opened in a new tab and a fragment swapped in place can never differ.
    """
    target = request.headers.get("HX-Target", "") if request.headers.get("HX-Request") else ""
    if target in partials and not request.headers.get("HX-History-Restore-Request"):
        template = f"{template}#{target}"
    return render(request, template, context, status=status)


def page_of(request: HttpRequest, rows: Any, *, per_page: int = PER_PAGE) -> Page:
    """The page that ``?page=`` names; nonsense shows the nearest page instead of an error."""
    return Paginator(rows, per_page).get_page(request.GET.get("page"))


@dataclass(frozen=True)
class Listed:
    """One page of a long list. ``total`` is exact, or an estimate."""

    object_list: Sequence[Any]
    previous: str
    next: str
    total: int
    exact: bool = True

    @property
    def grouped(self) -> str:
        return formats.number_format(self.total, force_grouping=True)

    def __iter__(self) -> Iterator[Any]:
        return iter(self.object_list)


def keyed_page_of(
    request: HttpRequest, rows: QuerySet[Any], *, total: int | None, by: str = "", per_page: int = PER_PAGE
) -> Listed:
    """The page that ``?page=`` names by the key of its neighbour; without a known ``total`` it is counted, and estimated where
    counting would take long (:func:`apps.core.keyset.counted`)."""
    page = page_by_key(rows, token=request.GET.get("page", ""), limit=per_page, by=by)
    if total is not None:
        return Listed(page.rows, page.previous, page.next, total)
    found = counted(rows)
    return Listed(page.rows, page.previous, page.next, found.number, exact=found.exact)


def with_count(label: Any, number: int) -> str:
    """``Held (1,204)``: a choice of a filter and how many rows it leaves."""
    return f"{label} ({formats.number_format(number, force_grouping=True)})"


def referring(request: HttpRequest, fallback: str) -> str:
    """The page of ours from which a form was sent, with its query string; ``fallback`` when that cannot be trusted."""
    came_from = request.headers.get("HX-Current-URL") or request.headers.get("Referer") or ""
    if not url_has_allowed_host_and_scheme(
        came_from, {request.get_host()}, require_https=request.is_secure()
    ):
        return fallback
    parts = urlsplit(came_from)
    return f"{parts.path}?{parts.query}" if parts.query else parts.path


def back_to(request: HttpRequest, fallback: str) -> HttpResponse:
    """After a plain form post: a redirect to where the person was (303, so that reloading sends nothing again)."""
    response = redirect(referring(request, fallback))
    response.status_code = 303
    return response


@dataclass(frozen=True)
class Neighbours:
    """The row before and after one within the present results, the pages that show them, and where it stands on its own."""

    previous: str = ""
    next: str = ""
    previous_page: str = ""
    next_page: str = ""
    position: int = 0
    count: int = 0


def neighbours(refs: Sequence[str], ref: str, *, page: str = "") -> Neighbours:
    """Neighbours of ``ref`` on the ``page`` as listed; none when it is not among them (a link from elsewhere)."""
    if ref not in refs:
        return Neighbours(count=len(refs))
    at = refs.index(ref)
    return Neighbours(
        previous=refs[at - 1] if at else "",
        next=refs[at + 1] if at + 1 < len(refs) else "",
        previous_page=page,
        next_page=page,
        position=at + 1,
        count=len(refs),
    )


def beyond(found: Neighbours, page: Listed, rows: QuerySet[Any], *, by: str) -> Neighbours:
    """The same, with the row of the page before or after where one stands at an edge of its own. Asks for that row only."""
    if not found.position:
        return found
    if not found.next and page.next:
        after = page_by_key(rows, token=page.next, limit=1, by=by).rows
        found = replace(found, next=after[0].ref if after else "", next_page=page.next)
    if not found.previous and page.previous:
        before = page_by_key(rows, token=page.previous, limit=1, by=by).rows
        found = replace(found, previous=before[0].ref if before else "", previous_page=page.previous)
    return found
