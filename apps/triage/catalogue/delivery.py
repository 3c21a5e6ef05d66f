"""Catalogue codes of projects, rates, milestones and time. Public surface: :data:`ENTRIES`."""

from __future__ import annotations

from django.utils.translation import gettext_lazy as _

from apps.triage.catalogue.types import RETRY, Auto, Entry, Fix, FixAction, Severity, source

ENTRIES = (
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
    ),
    Entry(
        code="BILL-RULE-MISSING",
        title=_("No billing rule for this work"),
        explanation=_(
            "Work was done that no line of the contract says how to bill. It is not billed at a guess: the "
            "deal gets the line by a change order, or the work goes to the line it belongs to."
        ),
        owner="contract",
        resolvers=("billing_analyst", "revops_analyst"),
        severity=Severity.BLOCKING_BILLING,
        fixes=(
            Fix(FixAction.APPROVE, _("Agree a change order")),
            source("psa", _("Book the work on the right line")),
        ),
        auto=Auto.RECHECK,
    ),
    Entry(
        code="RATE-CCY",
        title=_("Rate in another currency than the engagement"),
        explanation=_(
            "The only rate for this role is in another currency than the engagement is invoiced in. A price "
            "is never converted silently; the rate card gets one in the currency of the contract."
        ),
        owner="console",
        resolvers=("billing_analyst", "revops_analyst"),
        severity=Severity.BLOCKING_BILLING,
        fixes=(Fix(FixAction.ASK, _("Have the rate card completed")), RETRY),
        auto=Auto.RECHECK,
    ),
    Entry(
        code="RATE-OVERLAP",
        title=_("Two rates for the same day"),
        explanation=_(
            "Two lines of the rate card price this role on the day of work and neither is more specific. "
            "Which of them was agreed is a question for whoever agreed it; one of the two is ended."
        ),
        owner="console",
        resolvers=("billing_analyst", "revops_analyst"),
        severity=Severity.BLOCKING_BILLING,
        fixes=(Fix(FixAction.ASK, _("Have one of the two rates ended")), RETRY),
        auto=Auto.RECHECK,
    ),
    Entry(
        code="RATE-STALE",
        title=_("Rate card is gone or replaced"),
        explanation=_(
            "The system does not know the rate card that the project refers to any more. It is sent again, "
            "or the project is bound to its successor."
        ),
        owner="console",
        resolvers=("billing_analyst", "admin"),
        severity=Severity.BLOCKING_PROVISIONING,
        fixes=(source("psa", _("Look the rate card up in the project system")), RETRY),
        auto=Auto.NEVER,
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
    ),
)
