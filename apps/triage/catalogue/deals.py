"""Catalogue codes of deals and contracts. Public surface: :data:`ENTRIES`."""

from __future__ import annotations

from django.utils.translation import gettext_lazy as _

from apps.triage.catalogue.types import RETRY, Auto, Entry, Fix, FixAction, Severity, mapped, source

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
    ),
    Entry(
        code="BILL-SCHED-SUM",
        title=_("Billing schedule does not sum to the fee"),
        explanation=_(
            "Milestones or instalments do not add up to the fixed fee that was agreed. Billing it would "
            "invoice too much or leave a rest behind."
        ),
        owner="contract",
        resolvers=("revops_analyst", "billing_analyst"),
        severity=Severity.BLOCKING_PROVISIONING,
        fixes=(source("crm", _("Correct the schedule in the CRM")), RETRY),
        auto=Auto.RECHECK,
    ),
    Entry(
        code="AMD-UNAPPROVED",
        title=_("Terms changed without an approved change order"),
        explanation=_(
            "Price, scope, dates or schedule of a deal changed after its project was set up. The new "
            "terms are not passed on and the affected billing is held until the change is approved."
        ),
        owner="contract",
        resolvers=("revops_analyst", "revops_approver", "controller"),
        severity=Severity.BLOCKING_BILLING,
        fixes=(
            Fix(FixAction.APPROVE, _("Get the change order approved")),
            source("crm", _("Restore the agreed terms")),
        ),
        auto=Auto.NEVER,
    ),
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
    ),
)
