"""All addresses of the product; beside them two empty pages and Django admin's changelists over the same rows."""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import path

from apps.console.access import screen
from benchmarks import changelists  # noqa: F401 - before the admin makes its addresses
from pssync_console.urls import urlpatterns as product


@screen("transaction.view")
def empty(request: HttpRequest) -> HttpResponse:
    """The frame of every signed-in page: permission, navigation, who-am-I."""
    return render(request, "benchmarks/empty.html")


@screen("transaction.view")
def bare(request: HttpRequest) -> HttpResponse:
    """The same middleware and permission, and a template that shows nothing."""
    return render(request, "benchmarks/bare.html")


urlpatterns = [path("bench/empty/", empty), path("bench/bare/", bare), *product]
