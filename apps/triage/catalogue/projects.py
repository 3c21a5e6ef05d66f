"""Catalogue codes of projects and people. Public surface: :data:`ENTRIES`."""

from __future__ import annotations

from django.utils.translation import gettext_lazy as _

from apps.triage.catalogue.types import RETRY, Auto, Detected, Entry, Fix, FixAction, Severity, source

ENTRIES = (
    Entry(
        code="PRJ-PARTIAL",
        title=_("Set-up stopped half-way"),
        explanation=_(
            "Some systems hold the project already and others do not. Running again goes on where it "
            "stopped; what exists is found by its key and not created twice."
        ),
        owner="console",
        resolvers=("admin", "billing_analyst"),
        severity=Severity.BLOCKING_PROVISIONING,
        fixes=(RETRY,),
        auto=Auto.RETRY,
        detected=(Detected.RULE, Detected.VENDOR),
        detection=_(
            "A run stopped between two writes, the outcome of a write is unknown, or a system does not have an "
            "object that a later step needs."
        ),
        help=_(
            "Look under Technical which step is open. Do not create the missing object by hand: it would be there "
            "twice."
        ),
    ),
    Entry(
        code="PRJ-DUP",
        title=_("Project exists already"),
        explanation=_(
            "The project system or the ERP holds another project or milestone with this name or key. A second one would "
            "split time and billing, or bill the same work twice; a person says which of the two is to stay."
        ),
        owner="psa",
        resolvers=("admin", "billing_analyst"),
        severity=Severity.BLOCKING_PROVISIONING,
        fixes=(source("psa", _("Move what was booked on the other one, then archive or delete it")), RETRY),
        auto=Auto.NEVER,
        detected=(Detected.RULE, Detected.VENDOR),
        detection=_(
            "The project system shows two objects under one key of ours, or a system refuses a name or key that "
            "is taken."
        ),
        help=_("Look where time was booked. Keep that one, move what is on the other, archive it."),
    ),
    Entry(
        code="PRJ-CLOSED",
        title=_("Project is closed"),
        explanation=_(
            "The project is archived or closed where work is booked, but something of its engagement still "
            "has to be written there. It is opened again, or the engagement is ended."
        ),
        owner="psa",
        resolvers=("project_manager", "admin"),
        severity=Severity.BLOCKING_BILLING,
        fixes=(source("psa", _("Open the project again in the project system")), RETRY),
        auto=Auto.NEVER,
        detected=(Detected.VENDOR,),
        detection=_("The project system refuses a write because the project is archived or closed."),
        help=_("Reopening lets people book time again: close it once the outstanding write is through."),
    ),
    Entry(
        code="PRJ-TEMPLATE",
        title=_("No project template for the service"),
        explanation=_(
            "The project system has no template for this service in this legal entity, so tasks and budgets would "
            "be missing."
        ),
        owner="psa",
        resolvers=("practice_lead", "admin"),
        severity=Severity.BLOCKING_PROVISIONING,
        fixes=(
            source("psa", _("Create or choose a template in the project system")),
            RETRY,
        ),
        auto=Auto.RECHECK,
        awaits=_("Comes with project templates: projects are set up without one today."),
        detection=_("No template is registered for service and legal entity."),
        help=_("Copy the template of the nearest service; the practice lead adapts it."),
    ),
    Entry(
        code="PRJ-MAP-VALUE",
        title=_("Practice, region or department has no partner"),
        explanation=_(
            "A value that classifies the project has no partner in the target system. Reports would put its "
            "revenue in the wrong place."
        ),
        owner="console",
        resolvers=("admin", "billing_analyst"),
        severity=Severity.BLOCKING_PROVISIONING,
        fixes=(
            Fix(FixAction.ASK, _("Have the value mapped")),
            RETRY,
        ),
        auto=Auto.REPLAY,
        awaits=_("Comes with practice, region and department of a deal, which are not read yet."),
        detection=_("Practice, region, department or class of the deal has no mapping for the target."),
        help=_("Ask the controller: classes decide which profit centre earns the revenue."),
    ),
    Entry(
        code="RES-UNMAPPED",
        title=_("Person is unknown to a system"),
        explanation=_(
            "Somebody books time in the project system whom no ERP of the group has as an employee, so cost and approval "
            "cannot be told. What the client pays is not held up by it."
        ),
        owner="directory",
        resolvers=("admin", "project_manager"),
        severity=Severity.WARNING,
        fixes=(
            source("erp", _("Enter the person in the ERP under this e-mail address")),
            source("psa", _("Correct the e-mail address in the project system")),
            RETRY,
        ),
        auto=Auto.RECHECK,
        detected=(Detected.RULE,),
        detection=_(
            "A person with time on an engagement has an e-mail address that no employee of an ERP has; ERPs that show no "
            "employees are not asked."
        ),
        help=_("Freelancers are the usual case: they exist as suppliers, not as employees."),
    ),
    Entry(
        code="RES-INACTIVE",
        title=_("Assigned person has left"),
        explanation=_(
            "A person with time that is not approved yet is no active employee any more. The time cannot be sent in or "
            "corrected by its owner, and is not billed until it is approved."
        ),
        owner="directory",
        resolvers=("project_manager", "practice_lead"),
        severity=Severity.WARNING,
        fixes=(
            source("psa", _("Approve or reject the open time in the project system")),
            source("erp", _("Make the employee active again in the ERP, if it was a mistake")),
        ),
        auto=Auto.RECHECK,
        detected=(Detected.RULE,),
        detection=_("The ERPs have a person as inactive whose time on an engagement is not approved yet."),
        help=_("Have the open time of the person approved before the assignment ends."),
    ),
    Entry(
        code="IC-RATE-MISSING",
        title=_("No transfer rate between companies"),
        explanation=_(
            "People of one company of the group worked for an engagement of another, and no intercompany rate "
            "says what that costs. The client's invoice is not affected, the group's books are."
        ),
        owner="console",
        resolvers=("controller", "billing_analyst"),
        severity=Severity.WARNING,
        fixes=(
            Fix(FixAction.ASK, _("Have the transfer rate agreed")),
            RETRY,
        ),
        auto=Auto.RECHECK,
        awaits=_("Comes with transfer rates in the rate cards."),
        detection=_("Time of a person of another legal entity has no intercompany rate on its day."),
        help=_("The usual rate is a share of the price to the client; tax wants it in writing."),
    ),
)
