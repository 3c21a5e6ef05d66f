"""Catalogue codes of time, expenses and milestones. Public surface: :data:`ENTRIES`."""

from __future__ import annotations

from django.utils.translation import gettext_lazy as _

from apps.triage.catalogue.types import RETRY, Auto, Detected, Entry, Fix, FixAction, Severity, source

ENTRIES = (
    Entry(
        code="MS-NO-EVIDENCE",
        title=_("Milestone accepted without evidence"),
        explanation=_(
            "The milestone is marked as accepted, but the reference of the client's acceptance is "
            "missing. The invoice could be disputed; the project manager attaches it."
        ),
        owner="psa",
        resolvers=("project_manager",),
        severity=Severity.BLOCKING_BILLING,
        fixes=(source("psa", _("Attach the acceptance in the project system")), RETRY),
        auto=Auto.RECHECK,
        detected=(Detected.RULE,),
        detection=_(
            "A milestone is accepted in the project system without the reference of the client's acceptance."
        ),
        help=_(
            "A mail of the client that names the milestone is enough; attach it there and the draft follows."
        ),
    ),
    Entry(
        code="MS-CHANGED",
        title=_("Milestone differs from the contract"),
        explanation=_(
            "The amount or the text of the milestone in the project system is not what the contract says, or "
            "it was deleted there or changed after it had been billed. What is billed stays; the difference needs a change "
            "order or a correction."
        ),
        owner="psa",
        resolvers=("project_manager", "billing_analyst"),
        severity=Severity.BLOCKING_BILLING,
        fixes=(
            source("psa", _("Restore the agreed amount in the project system")),
            Fix(FixAction.APPROVE, _("Agree a change order")),
        ),
        auto=Auto.RECHECK,
        detected=(Detected.RULE,),
        detection=_(
            "The project system shows another amount than the contract, deleted an agreed milestone, or changed "
            "one that is on an approved bill."
        ),
        help=_(
            "Ask the project manager whether the client agreed. If not, restore the milestone; if so, it is a "
            "change order."
        ),
    ),
    Entry(
        code="TIME-UNAPPROVED",
        title=_("Time is not approved"),
        explanation=_(
            "Billable hours of the period are not approved. They cannot go on this run's invoice; they "
            "are approved now or carried forward."
        ),
        owner="psa",
        resolvers=("project_manager", "practice_lead"),
        severity=Severity.BLOCKING_BILLING,
        fixes=(source("psa", _("Approve the time in the project system")),),
        auto=Auto.RECHECK,
        detected=(Detected.RULE,),
        detection=_("Billable hours of a month that is over are still not approved."),
        help=_(
            "One reminder to the approver clears most of it; what stays is carried forward with a treatment."
        ),
    ),
    Entry(
        code="TIME-EDITED",
        title=_("Time was changed after billing"),
        explanation=_(
            "A time entry was changed or deleted after it went on an invoice. The invoice stays as it is; "
            "the difference is credited, billed later or taken back in the project system."
        ),
        owner="psa",
        resolvers=("project_manager", "billing_analyst"),
        severity=Severity.WARNING,
        fixes=(source("psa", _("Take the change back in the project system")),),
        auto=Auto.RECHECK,
        detected=(Detected.RULE, Detected.VENDOR),
        detection=_(
            "An entry that is on an approved bill was changed or deleted, or the project system refuses a change "
            "of invoiced time."
        ),
        help=_(
            "Nothing is re-billed by itself. Decide: take the change back, bill the difference next time, or "
            "credit it."
        ),
    ),
    Entry(
        code="TIME-LATE",
        title=_("Time for a locked period"),
        explanation=_(
            "The day of the entry lies in a period that the project system has locked. The time is booked in "
            "the open period, or finance unlocks the period."
        ),
        owner="psa",
        resolvers=("project_manager", "controller"),
        severity=Severity.BLOCKING_BILLING,
        fixes=(source("psa", _("Unlock the period, or book in the open one")), RETRY),
        auto=Auto.NEVER,
        detected=(Detected.VENDOR,),
        detection=_("The project system refuses the date because its period is locked."),
        help=_(
            "Kantata's locks hold for the whole account. Booking in the open period is nearly always the better "
            "way."
        ),
    ),
    Entry(
        code="TIME-DUP",
        title=_("Time was entered twice"),
        explanation=_(
            "Two entries of one person agree in day, service, hours and text. One of them is probably a copy; the "
            "second is not billed until somebody has looked."
        ),
        owner="psa",
        resolvers=("project_manager",),
        severity=Severity.BLOCKING_BILLING,
        fixes=(source("psa", _("Delete or change one of the two in the project system")),),
        auto=Auto.RECHECK,
        detected=(Detected.RULE,),
        detection=_(
            "Two billable entries of the same person, day, role, service, hours and text exist; entries without a "
            "text are not compared."
        ),
        help=_("Imports that ran twice make many of these at once: look for a common time of entry."),
    ),
    Entry(
        code="TIME-OUTSIDE",
        title=_("Work outside the engagement"),
        explanation=_(
            "The day of the entry lies before the start or after the end of the engagement. Either the term was "
            "extended, or the time belongs elsewhere."
        ),
        owner="contract",
        resolvers=("project_manager", "billing_analyst"),
        severity=Severity.BLOCKING_BILLING,
        fixes=(
            source("psa", _("Move the entry in the project system")),
            Fix(FixAction.APPROVE, _("Agree the longer term")),
        ),
        auto=Auto.RECHECK,
        detected=(Detected.RULE,),
        detection=_("The day of an entry is not within start and end of the terms."),
        help=_("Kick-off meetings before the start date are usually not billable."),
    ),
    Entry(
        code="TIME-BILLFLAG",
        title=_("Billable mark contradicts the contract"),
        explanation=_(
            "Time is marked as billable on a service that is billed by milestone, instalment or fixed price; "
            "billed by the hour as well, the client would pay twice. The entry is marked as not billable, or the "
            "line is changed by a change order."
        ),
        owner="contract",
        resolvers=("project_manager", "billing_analyst"),
        severity=Severity.BLOCKING_BILLING,
        fixes=(
            source("psa", _("Mark the entry as not billable in the project system")),
            Fix(FixAction.APPROVE, _("Agree a change order")),
        ),
        auto=Auto.RECHECK,
        detected=(Detected.RULE,),
        detection=_("A billable entry belongs to a service line that is not billed by time."),
        help=_("The default of the task decides the mark: correct it there and the next entries are right."),
    ),
    Entry(
        code="EXP-POLICY",
        title=_("Expense breaks the rules"),
        explanation=_(
            "The expense has no receipt, is over a limit, or the contract does not let it be passed on."
        ),
        owner="contract",
        resolvers=("project_manager", "billing_analyst"),
        severity=Severity.BLOCKING_BILLING,
        fixes=(source("psa", _("Correct or withdraw the expense in the project system")),),
        auto=Auto.RECHECK,
        awaits=_("Comes with expenses, which are not read yet."),
        detection=_("An expense lacks its receipt, exceeds a limit or is not to be recharged."),
        help=_("Ask whether the client agreed to the exception in writing."),
    ),
    Entry(
        code="EXP-FX",
        title=_("No rate for an expense's currency"),
        explanation=_("The expense is in a currency for which the ERP has no exchange rate on its day."),
        owner="erp",
        resolvers=("controller", "billing_analyst"),
        severity=Severity.BLOCKING_BILLING,
        fixes=(
            source("erp", _("Load the exchange rate in the ERP")),
            RETRY,
        ),
        auto=Auto.RETRY,
        awaits=_("Comes with expenses, which are not read yet."),
        detection=_("No exchange rate exists for the currency and day of an expense."),
        help=_("Some contracts name the source of the rate; that one goes on the invoice."),
    ),
)
