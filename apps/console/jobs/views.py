"""Jobs: many exceptions that are planned, looked at, run and verified together; each person sees their own."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_POST

from apps.console.access import ConsoleRequest, screen
from apps.console.exceptions.bulk_views import ChosenForm, chosen_of
from apps.console.jobs import presenters
from apps.console.jobs.forms import RunForm
from apps.console.pages import page_of, show
from apps.core.errors import InvalidInput
from apps.triage.jobs import selectors as jobs
from apps.triage.jobs import services

PAGE = "console/jobs/page.html"
DETAIL = "console/jobs/detail.html"


@require_GET
@screen("transaction.replay")
def index(request: ConsoleRequest) -> HttpResponse:
    """My jobs, newest first."""
    page = page_of(request, jobs.mine(request.user), per_page=40)
    context = {"page_obj": page, "lines": presenters.job_lines(page.object_list)}
    return show(request, PAGE, context, partials=("results",))


@require_POST
@screen("transaction.replay")
def plan(request: ConsoleRequest) -> HttpResponse:
    """Freeze the chosen cases, or all that the list's address matches, and show their plan."""
    form = ChosenForm(request.POST)
    if not form.is_valid():
        raise InvalidInput(_("Choose cases first."))
    rows, _shown, words, back = chosen_of(request, form)
    job = services.job_plan(rows=rows, by=request.user, scope_words=words, address=back)
    return redirect("console:job", job.ref)


@require_GET
@screen("transaction.replay")
def detail(request: ConsoleRequest, ref: str) -> HttpResponse:
    """The plan of a job, its run, its cases."""
    return show(request, DETAIL, {"page": presenters.job_page(request, ref)}, partials=("job",))


@require_POST
@screen("transaction.replay")
def run(request: ConsoleRequest, ref: str) -> HttpResponse:
    """Run exactly what the plan showed."""
    form = RunForm(request.POST)
    if not form.is_valid():
        raise InvalidInput(_("Choose how fast it may go; a reason has at most 500 characters."))
    services.job_run(ref=ref, by=request.user, pace=form.cleaned_data["pace"], why=form.cleaned_data["why"])
    return redirect("console:job", ref)


@require_POST
@screen("transaction.replay")
def stop(request: ConsoleRequest, ref: str) -> HttpResponse:
    """Begin no further case."""
    services.job_stop(ref=ref, by=request.user)
    messages.info(request, _("No further case is begun; what is under way is still verified."))
    return redirect("console:job", ref)


@require_POST
@screen("transaction.replay")
def drop(request: ConsoleRequest, ref: str) -> HttpResponse:
    """Give up a plan that was not run."""
    job = services.job_drop(ref=ref, by=request.user)
    messages.info(request, _("%(ref)s was dropped; nothing has run.") % {"ref": ref})
    return redirect(job.address or "console:jobs")
