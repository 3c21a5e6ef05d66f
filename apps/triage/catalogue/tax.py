"""Catalogue codes of tax. Public surface: :data:`ENTRIES`."""

from __future__ import annotations

from django.utils.translation import gettext_lazy as _

from apps.triage.catalogue.types import RETRY, Auto, Detected, Entry, Fix, FixAction, Severity, mapped, source

ENTRIES = (
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
        detected=(Detected.RULE, Detected.VENDOR),
        detection=_(
            "Neither routing nor mapping has a tax code for the treatment, or the ERP does not know or misses the "
            "code on a line."
        ),
        help=_("The treatment is in the sentence. Ask tax before a code is reused for another treatment."),
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
        detected=(Detected.VENDOR,),
        detection=_(
            "The ERP refuses the tax code for the invoicing company (NetSuite: INVALID_TAX_CODE_FOR_SUB)."
        ),
        help=_("Usually the routing of one entity was copied from another country's."),
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
        detected=(Detected.RULE,),
        detection=_(
            "The sale is to be reverse charged and the customer has no well-formed VAT id of its country."
        ),
        help=_(
            "The project may start; only the invoice waits. Ask the client for the VAT id of the contracting "
            "company."
        ),
    ),
    Entry(
        code="TAX-DIFF",
        title=_("Tax differs from the approved one"),
        explanation=_(
            "The net of the posted invoice is as approved, its tax is not. Nothing is asked for until the tax "
            "team has found out which of the two is right."
        ),
        owner="erp",
        resolvers=("tax", "controller"),
        severity=Severity.BLOCKING_BILLING,
        fixes=(
            source("erp", _("Compare the tax codes of the lines in the ERP")),
            RETRY,
        ),
        auto=Auto.RECHECK,
        detected=(Detected.RULE,),
        detection=_(
            "The issuer's tax differs from the expected one by more than rounding while the net agrees."
        ),
        help=_("A changed rate of the tax code in the ERP is the usual reason."),
    ),
    Entry(
        code="TAX-DOWN",
        title=_("Tax engine does not answer"),
        explanation=_(
            "The engine that computes the tax is unavailable. Drafts wait; they are computed as soon as it "
            "answers."
        ),
        owner="authority",
        resolvers=("admin", "tax"),
        severity=Severity.BLOCKING_BILLING,
        fixes=(RETRY,),
        auto=Auto.RETRY,
        awaits=_("Comes with a tax engine: the ERP computes the tax today."),
        detection=_("The tax engine answers with an error or asks to slow down."),
        help=_("If the invoice run is near, ask tax whether the ERP's own tables may be used."),
    ),
    Entry(
        code="TAX-EXEMPT",
        title=_("Exemption certificate is missing"),
        explanation=_(
            "The customer is treated as exempt, and its certificate is missing or has expired. Without it the "
            "sale would be taxed at an audit."
        ),
        owner="crm",
        resolvers=("receivables", "tax"),
        severity=Severity.BLOCKING_BILLING,
        fixes=(
            Fix(FixAction.ASK, _("Ask the client for a valid certificate")),
            source("crm", _("Enter certificate and last day on the account in the CRM")),
            RETRY,
        ),
        auto=Auto.RECHECK,
        detected=(Detected.RULE,),
        detection=_(
            "The account is tax exempt, and it has no exemption certificate or one that has ended before the day of billing."
        ),
        help=_("Certificates of several states differ: it is the state of the service that counts."),
    ),
    Entry(
        code="TAX-NEXUS",
        title=_("No tax registration where it is due"),
        explanation=_(
            "The sale is taxable in a country or state where this legal entity is not registered. The tax team "
            "registers or finds another way before anything is invoiced."
        ),
        owner="authority",
        resolvers=("tax", "controller"),
        severity=Severity.BLOCKING_BILLING,
        fixes=(Fix(FixAction.ASK, _("Have the registration clarified")),),
        auto=Auto.NEVER,
        awaits=_("Comes with the tax registrations of the legal entities, which are not kept yet."),
        detection=_("The place of supply is taxable and the entity has no registration there."),
        help=_("Do not invoice without tax meanwhile; interest runs from the day of supply."),
    ),
)
