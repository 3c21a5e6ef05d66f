"""Catalogue codes of deals and their terms. Public surface: :data:`ENTRIES`."""

from __future__ import annotations

from django.utils.translation import gettext_lazy as _

from apps.triage.catalogue.types import RETRY, Auto, Detected, Entry, Severity, mapped, source

ENTRIES = (
    Entry(
        code="DEAL-SVC-UNMAPPED",
        title=_("Service has no billing code"),
        explanation=_(
            "A sold service has no partner in the billing codes of the legal entity that will invoice it. "
            "The project is not set up, because every line of it must be billable. Map the service once: "
            "every deal that waits for the same value is run again, and what it releases stays in draft "
            "until the mapping is confirmed."
        ),
        owner="erp",
        resolvers=("billing_analyst",),
        severity=Severity.BLOCKING_PROVISIONING,
        fixes=(mapped("service_item", _("Map the service to a billing code")),),
        auto=Auto.REPLAY,
        detected=(Detected.RULE, Detected.VENDOR),
        detection=_(
            "A service line of the deal has no mapping to a billing code of the legal entity that invoices, or the ERP "
            "does not have the billing code."
        ),
        help=_(
            "Choose the item that finance books this kind of work on; the preview says which other deals clear "
            "with it."
        ),
    ),
    Entry(
        code="DEAL-SVC-INACTIVE",
        title=_("Billing code is switched off"),
        explanation=_(
            "The service is mapped, but its item in the ERP is inactive, so an invoice line with it would "
            "be refused. Finance switches the item on again, or maps the service to its successor."
        ),
        owner="erp",
        resolvers=("billing_analyst", "controller"),
        severity=Severity.BLOCKING_PROVISIONING,
        fixes=(source("erp", _("Reactivate the item in the ERP")), RETRY),
        auto=Auto.RECHECK,
        detected=(Detected.VENDOR,),
        detection=_(
            "The ERP refuses the line because its item is inactive or cannot be used by this company."
        ),
        help=_("If the item was replaced, map the service to the successor; old invoices keep the old item."),
    ),
    Entry(
        code="DEAL-INCOMPLETE",
        title=_("Deal lacks required data"),
        explanation=_(
            "The deal is won, but something that its way of billing needs is missing: dates, project "
            "manager, lines, rates or a billing schedule. Sales completes it in the CRM; the change is "
            "picked up by itself."
        ),
        owner="crm",
        resolvers=("revops_analyst",),
        severity=Severity.BLOCKING_PROVISIONING,
        fixes=(source("crm", _("Complete the deal in the CRM")), RETRY),
        auto=Auto.RECHECK,
        detected=(Detected.RULE, Detected.VENDOR),
        detection=_(
            "Something that the way of billing needs is empty when the deal is won, or the CRM refuses a record "
            "because a required field is missing."
        ),
        help=_("The sentence lists what is missing. The check before closing shows the same list to sales."),
    ),
    Entry(
        code="DEAL-UNSIGNED",
        title=_("No signed statement of work"),
        explanation=_(
            "The deal is won, but its statement of work or master agreement is not signed or not "
            "activated. Work may not be set up for billing without it."
        ),
        owner="contract",
        resolvers=("revops_analyst", "revops_approver"),
        severity=Severity.BLOCKING_PROVISIONING,
        fixes=(source("crm", _("Attach the signed contract in the CRM")), RETRY),
        auto=Auto.RECHECK,
        detected=(Detected.RULE, Detected.VENDOR),
        detection=_(
            "The contract of the deal is not activated in the CRM, or its status there is one that nobody has explained to us."
        ),
        help=_("Ask legal for the signed copy; a purchase order alone is no signature."),
    ),
    Entry(
        code="DEAL-TOTAL",
        title=_("Amounts of the deal do not add up"),
        explanation=_(
            "The lines of the deal do not sum to its header amount by more than rounding. One of the two "
            "is wrong, and only who agreed it with the client knows which."
        ),
        owner="crm",
        resolvers=("revops_analyst",),
        severity=Severity.BLOCKING_PROVISIONING,
        fixes=(source("crm", _("Correct the amounts in the CRM")), RETRY),
        auto=Auto.RECHECK,
        detected=(Detected.RULE,),
        detection=_("The service lines differ from the header amount by more than one minor unit a line."),
        help=_("Discounts entered on the header only are the usual reason: spread them over the lines."),
    ),
    Entry(
        code="DEAL-LINE-CCY",
        title=_("Line in another currency than its deal"),
        explanation=_(
            "A line, rate or instalment is priced in another currency than the deal. A contract is "
            "invoiced in one currency; the price is never converted silently."
        ),
        owner="crm",
        resolvers=("revops_analyst",),
        severity=Severity.BLOCKING_PROVISIONING,
        fixes=(source("crm", _("Correct the currency in the CRM")), RETRY),
        auto=Auto.RECHECK,
        detected=(Detected.RULE,),
        detection=_("A line or a rate has another currency than the header of the deal."),
        help=_("Check the price book of the deal first; lines keep the currency they were added with."),
    ),
    Entry(
        code="DEAL-REOPENED",
        title=_("Won deal was opened again"),
        explanation=_(
            "The deal is no longer won, but its project is set up. Nothing is undone by itself: revenue "
            "operations and the project manager decide whether the project is suspended, cancelled or "
            "goes on."
        ),
        owner="crm",
        resolvers=("revops_analyst", "project_manager"),
        severity=Severity.BLOCKING_BILLING,
        fixes=(source("crm", _("Close the deal again, or cancel the project")),),
        auto=Auto.NEVER,
        detected=(Detected.RULE,),
        detection=_("A deal whose engagement is set up is not won any more, or has gone from the CRM."),
        help=_(
            "Ask sales whether it was a slip. If the client withdrew, the project manager stops the work before "
            "anything is cancelled."
        ),
    ),
    Entry(
        code="DEAL-BACKDATED",
        title=_("Work starts before the signature"),
        explanation=_(
            "The engagement starts before its contract was signed. Set-up and billing go on, but revenue of those "
            "days stands on nothing: the date of a letter of intent is entered, or the deal gets a later start."
        ),
        owner="contract",
        resolvers=("controller", "revops_analyst"),
        severity=Severity.WARNING,
        fixes=(
            source("crm", _("Correct the start date or the date of signature in the CRM")),
            RETRY,
        ),
        auto=Auto.NEVER,
        detected=(Detected.RULE,),
        detection=_("The start date lies before the date on which the contract was signed."),
        help=_("Ask for a letter of intent: if there is one, its date is the signature."),
    ),
)
