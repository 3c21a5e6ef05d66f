"""Catalogue codes of customers and legal entities. Public surface: :data:`ENTRIES`."""

from __future__ import annotations

from django.utils.translation import gettext_lazy as _

from apps.triage.catalogue.types import RETRY, Auto, Entry, Fix, FixAction, Severity, mapped, source

ENTRIES = (
    Entry(
        code="CUS-LE-MISSING",
        title=_("No contracting legal entity"),
        explanation=_(
            "The deal does not say which of our companies contracts, or names one that is not registered "
            "here. It decides on ERP, tax and currency, so it is never guessed."
        ),
        owner="crm",
        resolvers=("revops_analyst",),
        severity=Severity.BLOCKING_PROVISIONING,
        fixes=(source("crm", _("Set the contracting entity in the CRM")), RETRY),
        auto=Auto.RECHECK,
    ),
    Entry(
        code="CUS-LE-INACTIVE",
        title=_("Legal entity is closed"),
        explanation=_(
            "The deal names a company of the group that was closed or merged. Finance says which one "
            "takes its contracts over; the contract must name it."
        ),
        owner="console",
        resolvers=("controller", "revops_analyst"),
        severity=Severity.BLOCKING_PROVISIONING,
        fixes=(source("crm", _("Name the successor in the CRM")), RETRY),
        auto=Auto.RECHECK,
    ),
    Entry(
        code="CUS-LE-NOT-ENABLED",
        title=_("Customer is not enabled for the entity"),
        explanation=_(
            "The customer exists in the ERP, but not for the company that will invoice it. Receivables "
            "adds the relation; terms and credit limit are decided there."
        ),
        owner="erp",
        resolvers=("receivables",),
        severity=Severity.BLOCKING_PROVISIONING,
        fixes=(source("erp", _("Add the company to the customer in the ERP")), RETRY),
        auto=Auto.RECHECK,
    ),
    Entry(
        code="CUS-CURRENCY",
        title=_("Currency not allowed for the customer"),
        explanation=_(
            "The deal is in a currency that the customer or the legal entity does not have in the ERP. "
            "Receivables adds the currency, or the deal is corrected."
        ),
        owner="erp",
        resolvers=("receivables",),
        severity=Severity.BLOCKING_PROVISIONING,
        fixes=(
            source("erp", _("Add the currency in the ERP")),
            source("crm", _("Correct the deal's currency")),
            RETRY,
        ),
        auto=Auto.RECHECK,
    ),
    Entry(
        code="CUS-TAXID-INVALID",
        title=_("Tax id is not valid"),
        explanation=_(
            "The customer's VAT or tax id breaks the rules of its country (length or check digits). An "
            "invoice with it may be refused, and reverse charge would not hold."
        ),
        owner="crm",
        resolvers=("receivables", "tax"),
        severity=Severity.BLOCKING_PROVISIONING,
        fixes=(source("crm", _("Correct the tax id in the CRM")), RETRY),
        auto=Auto.RECHECK,
    ),
    Entry(
        code="CUS-ADDRESS",
        title=_("Billing address is incomplete"),
        explanation=_(
            "The billing address lacks what tax and invoicing need: country, post code, city, or the "
            "state where sales tax depends on it."
        ),
        owner="crm",
        resolvers=("revops_analyst",),
        severity=Severity.BLOCKING_PROVISIONING,
        fixes=(source("crm", _("Complete the address in the CRM")), RETRY),
        auto=Auto.RECHECK,
    ),
    Entry(
        code="CUS-TERMS",
        title=_("Payment terms unknown to the ERP"),
        explanation=_(
            "The agreed payment terms have no partner among the terms of the ERP. Map them to the terms "
            "that mean the same; longer terms than the standard are for finance to accept."
        ),
        owner="contract",
        resolvers=("billing_analyst", "controller"),
        severity=Severity.BLOCKING_PROVISIONING,
        fixes=(mapped("payment_terms", _("Map the payment terms")),),
        auto=Auto.REPLAY,
    ),
    Entry(
        code="CUS-PO-REQUIRED",
        title=_("Purchase order number is missing"),
        explanation=_(
            "This customer pays only invoices that quote its purchase order, and the deal has none. The "
            "project manager or revenue operations asks the client for it."
        ),
        owner="crm",
        resolvers=("project_manager", "revops_analyst"),
        severity=Severity.BLOCKING_BILLING,
        fixes=(source("crm", _("Enter the purchase order in the CRM")), RETRY),
        auto=Auto.RECHECK,
    ),
    Entry(
        code="CUS-DUP",
        title=_("Several customers could be this one"),
        explanation=_(
            "More than one customer in the ERP matches this account. Choosing wrongly would send invoices "
            "to the wrong ledger account, so a person links the right one or says that it is new."
        ),
        owner="erp",
        resolvers=("receivables", "revops_analyst"),
        severity=Severity.BLOCKING_PROVISIONING,
        fixes=(source("erp", _("Merge or mark the duplicates in the ERP")), RETRY),
        auto=Auto.NEVER,
    ),
    Entry(
        code="CUS-AMBIG-EXTID",
        title=_("Two records carry the same key"),
        explanation=_(
            "A system holds several records under the one key that should tell them apart. Nothing is "
            "written until the wrong key is cleared."
        ),
        owner="erp",
        resolvers=("admin", "receivables"),
        severity=Severity.BLOCKING_PROVISIONING,
        fixes=(source("erp", _("Clear the wrong key")), RETRY),
        auto=Auto.NEVER,
    ),
    Entry(
        code="CUS-INACTIVE",
        title=_("Customer is inactive in the ERP"),
        explanation=_(
            "The customer is archived or was merged into another one. Receivables reactivates it or links "
            "the survivor."
        ),
        owner="erp",
        resolvers=("receivables",),
        severity=Severity.BLOCKING_PROVISIONING,
        fixes=(source("erp", _("Reactivate the customer in the ERP")), RETRY),
        auto=Auto.RECHECK,
    ),
    Entry(
        code="CUS-CREDIT-HOLD",
        title=_("Customer is on credit hold"),
        explanation=_(
            "The ERP holds the customer because of overdue or too high a balance. Only credit control "
            "releases it; until then nothing new is billed."
        ),
        owner="erp",
        resolvers=("receivables", "controller"),
        severity=Severity.BLOCKING_BILLING,
        fixes=(Fix(FixAction.ASK, _("Ask credit control to release the customer")), RETRY),
        auto=Auto.RECHECK,
    ),
)
