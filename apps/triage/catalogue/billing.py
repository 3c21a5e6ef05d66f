"""Catalogue codes of evidence, invoices, tax and payments. Public surface: :data:`ENTRIES`."""

from __future__ import annotations

from django.utils.translation import gettext_lazy as _

from apps.triage.catalogue.types import RETRY, Auto, Entry, Fix, FixAction, Severity, mapped, source

ENTRIES = (
    Entry(
        code="RATE-GAP",
        title=_("No rate on the day of work"),
        explanation=_(
            "The rate card has a rate for this role, but none that is valid on the day the work was done. "
            "The hours cannot be priced."
        ),
        owner="console",
        resolvers=("billing_analyst", "admin"),
        severity=Severity.BLOCKING_BILLING,
        fixes=(Fix(FixAction.ASK, _("Have the rate card completed")), RETRY),
        auto=Auto.RECHECK,
    ),
    Entry(
        code="RES-ROLE-NO-RATE",
        title=_("Role has no rate"),
        explanation=_(
            "Somebody worked in a role that the rate card of the engagement does not price. Nothing is "
            "billed at a guess: the role gets a rate, or the entry the right role."
        ),
        owner="console",
        resolvers=("billing_analyst", "project_manager"),
        severity=Severity.BLOCKING_BILLING,
        fixes=(source("psa", _("Correct the role in the project system")), RETRY),
        auto=Auto.RECHECK,
    ),
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
    ),
    Entry(
        code="CAP-EXCEEDED",
        title=_("Agreed maximum is exceeded"),
        explanation=_(
            "What is billed and what is ready together exceed the amount that the contract allows. Bill "
            "up to the maximum, and agree a change order for the rest or write it down."
        ),
        owner="contract",
        resolvers=("project_manager", "billing_analyst"),
        severity=Severity.BLOCKING_BILLING,
        fixes=(Fix(FixAction.APPROVE, _("Agree a change order")),),
        auto=Auto.NEVER,
    ),
    Entry(
        code="INV-PERIOD",
        title=_("Accounting period is closed"),
        explanation=_(
            "The ERP refuses the posting because its period is closed. Finance posts in the next open "
            "period or opens the period again; the date is never moved by itself, since tax may depend on "
            "it."
        ),
        owner="erp",
        resolvers=("controller",),
        severity=Severity.BLOCKING_BILLING,
        fixes=(source("erp", _("Choose an open period, or open this one")), RETRY),
        auto=Auto.NEVER,
    ),
    Entry(
        code="INV-UNKNOWN",
        title=_("Outcome of an invoice is unknown"),
        explanation=_(
            "The invoice was sent and no answer came back. It may exist already: it is looked up by its "
            "key before anything is sent again."
        ),
        owner="erp",
        resolvers=("billing_analyst", "admin"),
        severity=Severity.BLOCKING_BILLING,
        fixes=(RETRY,),
        auto=Auto.PROBE,
    ),
    Entry(
        code="INV-DUP",
        title=_("Invoice exists already"),
        explanation=_(
            "The ERP holds an invoice with the same key or number. A second one would bill the client "
            "twice; a person says whether the two are the same."
        ),
        owner="erp",
        resolvers=("billing_analyst",),
        severity=Severity.BLOCKING_BILLING,
        fixes=(source("erp", _("Compare the two invoices in the ERP")), RETRY),
        auto=Auto.NEVER,
    ),
    Entry(
        code="INV-TOTAL",
        title=_("Posted total differs from the approved one"),
        explanation=_(
            "The ERP, which issues the invoice, has it over another total than was approved here or than the client "
            "is asked for. Nothing is asked for, and nothing counts as paid, until finance has found out whether a "
            "line or its tax is wrong; a difference by rounding is asked for as the ERP has it."
        ),
        owner="erp",
        resolvers=("controller", "billing_analyst"),
        severity=Severity.BLOCKING_BILLING,
        fixes=(source("erp", _("Compare lines and tax in the ERP")), RETRY),
        auto=Auto.RECHECK,
    ),
    Entry(
        code="INV-ACCOUNT",
        title=_("Item has no income account"),
        explanation=_(
            "The ERP cannot post the line, because its item has no income account in this legal entity. Finance "
            "gives the item its account, then it is run again."
        ),
        owner="erp",
        resolvers=("controller",),
        severity=Severity.BLOCKING_BILLING,
        fixes=(source("erp", _("Give the item its account in the ERP")), RETRY),
        auto=Auto.NEVER,
    ),
    Entry(
        code="INV-DELIVERY",
        title=_("Invoice cannot be delivered"),
        explanation=_(
            "The billing platform refuses the address that the request for payment is sent to. The billing "
            "contact of the customer is corrected in the CRM."
        ),
        owner="crm",
        resolvers=("billing_analyst", "revops_analyst"),
        severity=Severity.BLOCKING_BILLING,
        fixes=(source("crm", _("Correct the billing contact in the CRM")), RETRY),
        auto=Auto.RECHECK,
    ),
    Entry(
        code="INV-FX",
        title=_("Exchange rate is missing"),
        explanation=_(
            "The ERP has no exchange rate for the currency of the invoice on its date. Finance loads the "
            "rate, then it is run again."
        ),
        owner="erp",
        resolvers=("controller", "billing_analyst"),
        severity=Severity.BLOCKING_BILLING,
        fixes=(source("erp", _("Load the exchange rate in the ERP")), RETRY),
        auto=Auto.RETRY,
    ),
    Entry(
        code="MAP-UNCONFIRMED",
        title=_("Mapping awaits its confirmation"),
        explanation=_(
            "The invoice is translated with a mapping that one person has added and nobody else has confirmed. It stays a "
            "draft until a second person has looked at the mapping; then it is posted by itself."
        ),
        owner="console",
        resolvers=("controller",),
        severity=Severity.BLOCKING_BILLING,
        fixes=(Fix(FixAction.APPROVE, _("Confirm or refuse the mapping in the review list")),),
        auto=Auto.RECHECK,
    ),
    Entry(
        code="TAX-CODE",
        title=_("No tax code"),
        explanation=_(
            "The treatment of this sale has no tax code in the routing of the legal entity's ERP, or the ERP refuses the "
            "one it was sent. Where there is none the tax team maps the treatment; because that touches the ledger, a "
            "second person confirms it before it has effect."
        ),
        owner="erp",
        resolvers=("tax",),
        severity=Severity.BLOCKING_BILLING,
        fixes=(
            mapped("tax_code", _("Map the tax treatment to a tax code")),
            source("erp", _("Correct the tax code that the ERP refuses")),
            RETRY,
        ),
        auto=Auto.REPLAY,
    ),
    Entry(
        code="TAX-SUB",
        title=_("Tax code of another country"),
        explanation=_(
            "The tax code does not belong to the country of the legal entity that invoices. The tax team corrects the code "
            "in the ERP, or has the routing (or the mapping) of the treatment corrected; what is drafted then carries it."
        ),
        owner="erp",
        resolvers=("tax",),
        severity=Severity.BLOCKING_BILLING,
        fixes=(
            source("erp", _("Make the tax code one of the legal entity in the ERP")),
            Fix(FixAction.ASK, _("Have the tax code of the treatment corrected in the ERP routing")),
            RETRY,
        ),
        auto=Auto.NEVER,
    ),
    Entry(
        code="TAX-RC",
        title=_("Reverse charge without a valid VAT id"),
        explanation=_(
            "The client accounts for the VAT itself, which only holds with a valid VAT id of its country. "
            "Without it the sale would have to be taxed; the id is added to the account in the CRM."
        ),
        owner="crm",
        resolvers=("tax", "revops_analyst"),
        severity=Severity.BLOCKING_BILLING,
        fixes=(source("crm", _("Add the VAT id to the account in the CRM")), RETRY),
        auto=Auto.RECHECK,
    ),
    Entry(
        code="PAY-SHORT",
        title=_("Client paid less than invoiced"),
        explanation=_(
            "A payment is smaller than its invoice by more than the tolerance. Receivables asks the "
            "client why and records a dispute, a credit or the open rest."
        ),
        owner="erp",
        resolvers=("receivables",),
        severity=Severity.WARNING,
        fixes=(Fix(FixAction.ASK, _("Clear up the difference with the client")),),
        auto=Auto.RECHECK,
    ),
    Entry(
        code="PAY-REVERSED",
        title=_("Payment was taken back"),
        explanation=_(
            "Money that had been received was taken back: a chargeback, or a bank that returned it. The invoice is "
            "open again and nothing is applied again by itself; receivables asks the client and collects anew."
        ),
        owner="erp",
        resolvers=("receivables",),
        severity=Severity.WARNING,
        fixes=(
            Fix(FixAction.ASK, _("Ask the client for the money again")),
            source("erp", _("Take the payment back in the ERP, where it still stands")),
        ),
        auto=Auto.RECHECK,
    ),
    Entry(
        code="PAY-OUTSIDE",
        title=_("Paid, but the request for payment is open"),
        explanation=_(
            "The ERP has the invoice settled by money that did not come through the billing platform, which still "
            "asks for it: the client might pay twice. Receivables marks the request as paid outside the platform."
        ),
        owner="billing",
        resolvers=("receivables",),
        severity=Severity.WARNING,
        fixes=(source("billing", _("Mark the request as paid outside the platform")),),
        auto=Auto.RECHECK,
    ),
    Entry(
        code="PAY-UNMATCHED",
        title=_("Payment without an invoice"),
        explanation=_(
            "Money came in that names no invoice we know. It is never matched by itself; receivables "
            "applies it in the ERP."
        ),
        owner="erp",
        resolvers=("receivables",),
        severity=Severity.WARNING,
        fixes=(source("erp", _("Apply the payment in the ERP")),),
        auto=Auto.NEVER,
    ),
)
