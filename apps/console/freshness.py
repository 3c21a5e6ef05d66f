"""Polled fragments: a visible page asks every few seconds whether it still shows what is; the answer is nearly always 204.

Public surface: :func:`stamp`, :class:`UnchangedMiddleware`.

Signed-in pages are never stored, so a browser has nothing to revalidate with ``ETag``. Instead a fragment carries a stamp of
the moment before its rows were read and sends it back as ``?v=``. While the counted tables have not moved since, the
middleware answers with one statement: no session, person, view or template. That answer says nothing but "unchanged".
A stamp is signed, and older ones than :data:`LONGEST` count as changed, so that whoever lost a role, and whatever is not
counted (names, amounts, the health of systems), is looked at anew in that time at the latest.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

from django.core.signing import BadSignature, TimestampSigner
from django.http import HttpRequest, HttpResponse

from apps.journal import counters

PARAMETER = "v"
LONGEST = timedelta(minutes=2)
_signer = TimestampSigner(salt="console.freshness")


def stamp() -> str:
    """What a fragment's next question carries. Taken before its rows are read: what changes in between counts as changed."""
    return _signer.sign(counters.count_moment())


class UnchangedMiddleware:
    """204 to a fragment's question with ``?v=`` when nothing has moved since; everything else goes its way."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        given = request.GET.get(PARAMETER) if request.headers.get("HX-Request") else None
        if given is None or request.method != "GET" or not _unchanged(given):
            return self.get_response(request)
        request.get_host()  # refuses a host that is not ours, as the middleware of pages does
        return HttpResponse(status=204, headers={"Cache-Control": "no-store", "Vary": "HX-Request"})


def _unchanged(given: str) -> bool:
    try:
        then = _signer.unsign(given, max_age=LONGEST)
    except BadSignature:
        return False
    return counters.count_moment() == then
