"""Catalogue codes of customers and legal entities. Public surface: :data:`ENTRIES`."""

from __future__ import annotations

from django.utils.translation import gettext_lazy as _

from apps.triage.catalogue.types import RETRY, Auto, Detected, Entry, Fix, FixAction, Severity, mapped, source

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
        detected=(Detected.RULE,),
        detection=_(
            "The deal names no contracting entity, or one that is not registered here, or one without a connected "
            "ERP, project system or billing platform."
        ),
        help=_(
            "Look at the contract, not at the account's country: the company that signed is the one that "
            "invoices."
        ),
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
        detected=(Detected.RULE,),
        detection=_(
            "The contracting entity of the deal is marked as closed in the register of legal entities."
        ),
        help=_(
            "Ask finance for the company that took the contracts over before the deal is changed; tax and "
            "currency may change with it."
        ),
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
        detected=(Detected.VENDOR,),
        detection=_(
            "The ERP refuses a write because the customer has no relation to the invoicing company (NetSuite: "
            "SUBSIDIARY_MISMATCH, INVALID_SUB)."
        ),
        help=_(
            "Open the customer in the ERP, add the company and decide terms and credit limit there; then run it "
            "again."
        ),
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
        detected=(Detected.RULE, Detected.VENDOR),
        detection=_(
            "The currency of the deal has no partner in the entity's ERP, or a system refuses it for this "
            "customer."
        ),
        help=_(
            "A currency can be added to a customer, but its primary currency cannot be changed once something is "
            "booked."
        ),
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
        detected=(Detected.RULE, Detected.VENDOR),
        detection=_(
            "Length, form or check digits of the tax id break the rules of its country, the billing platform refuses it, or "
            "the register that it asks does not know it."
        ),
        help=_(
            "Typing errors are common: compare the id with the client's own invoice or web page before asking."
        ),
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
        detected=(Detected.RULE, Detected.VENDOR),
        detection=_(
            "The billing address lacks street, city, post code, country, or the state where sales tax depends on "
            "it."
        ),
        help=_(
            "Complete the address at the account in the CRM; a corrected account is read again by itself."
        ),
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
        detected=(Detected.RULE, Detected.VENDOR),
        detection=_(
            "The agreed payment terms have no partner among the terms of the entity's ERP, or the ERP does not "
            "know the ones it was sent."
        ),
        help=_(
            "Map only to terms that mean exactly the same number of days; anything longer is finance's decision."
        ),
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
        detected=(Detected.RULE,),
        detection=_(
            "The customer is marked as paying only against a purchase order and the deal has no number."
        ),
        help=_(
            "Ask the client's buyer, not the project sponsor; a draft is ready to be billed as soon as the number "
            "is there."
        ),
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
        fixes=(
            Fix(FixAction.DECIDE, _("Choose in the case which record it is, or that it is a new customer")),
            source("erp", _("Merge or mark the duplicates in the ERP")),
            RETRY,
        ),
        auto=Auto.NEVER,
        detected=(Detected.RULE, Detected.VENDOR),
        detection=_(
            "More than one ERP record shares the tax id and country, or records only look alike; or a system's "
            "own duplicate rule refuses the customer."
        ),
        help=_("Compare tax id, address and last invoice date. Link the one in use; do not create a third."),
    ),
    Entry(
        code="CUS-AMBIG-EXTID",
        title=_("Two records carry the same key"),
        explanation=_(
            "A system holds several records under the one key that should tell them apart. Nothing is "
            "written until the wrong key is cleared, or a person has said which record it is."
        ),
        owner="erp",
        resolvers=("admin", "receivables"),
        severity=Severity.BLOCKING_PROVISIONING,
        fixes=(
            Fix(FixAction.DECIDE, _("Choose in the case which of the records it is")),
            source("erp", _("Clear the wrong key")),
            RETRY,
        ),
        auto=Auto.NEVER,
        detected=(Detected.RULE, Detected.VENDOR),
        detection=_(
            "A system returns several records for one external key, or says that another record carries it "
            "already."
        ),
        help=_(
            "Find out which record was linked first and choose it in the case; clear the key on the other one, so that "
            "nobody meets it again."
        ),
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
        detected=(Detected.RULE, Detected.VENDOR),
        detection=_("The record that is this customer is inactive, deleted or merged in the ERP."),
        help=_(
            "Ask receivables why it was switched off: a customer with bad debts is not simply reactivated."
        ),
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
        detected=(Detected.VENDOR,),
        detection=_("The ERP refuses the invoice because the customer is on hold or over its credit limit."),
        help=_(
            "Send credit control the amount and the due date of the new invoice; the release is theirs alone."
        ),
    ),
    Entry(
        code="CUS-TAXID-UNVERIFIED",
        title=_("Tax id could not be verified"),
        explanation=_(
            "The register of tax ids did not answer the billing platform, so nobody knows whether the id is registered. "
            "Set-up goes on; whether an invoice under reverse charge may rely on the id meanwhile is for tax to say."
        ),
        owner="authority",
        resolvers=("tax", "admin"),
        severity=Severity.WARNING,
        fixes=(Fix(FixAction.ASK, _("Ask the register by hand, and keep its answer")), RETRY),
        auto=Auto.RECHECK,
        detected=(Detected.RULE,),
        detection=_("The billing platform says that the register (VIES, HMRC, ABR) is unavailable."),
        help=_(
            "Registers close at night and at month end. The platform asks again by itself, and the case closes "
            "with the answer."
        ),
    ),
    Entry(
        code="CUS-NAME-MISMATCH",
        title=_("Registered name differs"),
        explanation=_(
            "The register knows the tax id under another name than the account. Perhaps it is a trading name, "
            "perhaps the id of another company of the group."
        ),
        owner="authority",
        resolvers=("receivables", "tax"),
        severity=Severity.WARNING,
        fixes=(source("crm", _("Enter the legal name or the right id in the CRM")),),
        auto=Auto.RECHECK,
        detected=(Detected.RULE,),
        detection=_(
            "The register has verified the tax id on the billing platform, and the name it gives is unlike the account's."
        ),
        help=_(
            "The legal name belongs on the invoice, the trading name may stay as the account's short name."
        ),
    ),
    Entry(
        code="CUS-BU-CONFLICT",
        title=_("Two ERPs disagree about the customer"),
        explanation=_(
            "The customer is kept in more than one ERP of the group, and their payment terms or tax ids differ. "
            "Which of them holds for an invoice is decided per legal entity; nothing is overwritten."
        ),
        owner="erp",
        resolvers=("revops_analyst", "controller"),
        severity=Severity.WARNING,
        fixes=(
            source("erp", _("Make both records say the same, or confirm the difference in the ERP")),
            RETRY,
        ),
        auto=Auto.RECHECK,
        detected=(Detected.RULE,),
        detection=_(
            "The record in the entity's ERP and the one in another ERP of the group show different payment terms "
            "or tax ids."
        ),
        help=_(
            "An acquired company often keeps its own terms. If both are meant to differ, the contract has to say "
            "so."
        ),
    ),
)
