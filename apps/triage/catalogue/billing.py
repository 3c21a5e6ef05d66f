"""Catalogue codes of invoices and payments. Public surface: :data:`ENTRIES`."""

from __future__ import annotations

from django.utils.translation import gettext_lazy as _

from apps.triage.catalogue.types import RETRY, Auto, Detected, Entry, Fix, FixAction, Severity, source

ENTRIES = (
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
        detected=(Detected.VENDOR,),
        detection=_("The ERP refuses the invoice because its accounting period is closed or locked."),
        help=_(
            "Moving the date moves revenue and perhaps the tax point: the controller decides, not the analyst."
        ),
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
        detected=(Detected.RULE, Detected.VENDOR),
        detection=_(
            "A write that moves money got no answer; it is looked up by its key before anything else happens."
        ),
        help=_(
            "Do not book it by hand. The case closes by itself once the system says whether the invoice exists."
        ),
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
        detected=(Detected.RULE, Detected.VENDOR),
        detection=_(
            "The ERP holds another transaction under the same key or number, or gives one invoice a second "
            "number."
        ),
        help=_(
            "Compare client, period and lines. If both are the same supply, the younger one is voided while "
            "unissued."
        ),
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
        detected=(Detected.RULE,),
        detection=_(
            "The issuer's net differs from what was approved by more than rounding, or the request for payment is "
            "over another total."
        ),
        help=_("Compare the lines first, then the tax. Never adjust the request for payment to fit."),
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
        detected=(Detected.VENDOR,),
        detection=_(
            "The ERP refuses the line because its item has no income account (NetSuite: ITEM_ACCT_REQD)."
        ),
        help=_("The account decides where revenue is shown: it is the controller's choice."),
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
        detected=(Detected.VENDOR,),
        detection=_("The billing platform refuses the address that the invoice is to be sent to."),
        help=_("Correct the billing contact in the CRM; shared mailboxes last longer than people."),
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
        detected=(Detected.VENDOR,),
        detection=_("The ERP has no exchange rate for the currency and date of the invoice."),
        help=_("Load the rate of the invoice date, not of today."),
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
        detected=(Detected.RULE,),
        detection=_("An approved invoice uses a mapping that no second person has confirmed."),
        help=_("The confirmation is asked for in the list of new mappings."),
        own=True,
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
        detected=(Detected.RULE,),
        detection=_("What was paid is less than the invoice and both systems show the rest as open."),
        help=_(
            "Bank charges and withheld tax look like a short payment; ask before it is logged as a dispute."
        ),
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
        detected=(Detected.RULE,),
        detection=_("The ERP or the billing platform shows less received than before."),
        help=_("Call the client before the dunning starts: often the bank details were wrong."),
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
        detected=(Detected.RULE,),
        detection=_("The ERP has the invoice settled while the billing platform still asks for money."),
        help=_(
            "Mark the request as paid outside the platform today, or the client is reminded of a paid invoice."
        ),
        own=True,
    ),
    Entry(
        code="PAY-UNMATCHED",
        title=_("Payment without an invoice"),
        explanation=_(
            "Money of a customer came in that settles no invoice, or only in part. It is never matched by itself; "
            "receivables applies it in the ERP, and the case closes as soon as nothing is left of it."
        ),
        owner="erp",
        resolvers=("receivables",),
        severity=Severity.WARNING,
        fixes=(source("erp", _("Apply the payment in the ERP")),),
        auto=Auto.RECHECK,
        detected=(Detected.RULE,),
        detection=_(
            "The ERP holds a payment of one of our customers with an amount that is applied to no invoice."
        ),
        help=_(
            "Ask the client for the remittance advice. The same amount on an open invoice is a hint, no proof."
        ),
    ),
    Entry(
        code="INV-EDITED",
        title=_("Posted invoice was changed in the ERP"),
        explanation=_(
            "Lines, client or date of a posted invoice are not what was approved any more, although its total may "
            "be the same. What the client has been sent and what the ledger shows differ."
        ),
        owner="erp",
        resolvers=("billing_analyst", "controller"),
        severity=Severity.BLOCKING_BILLING,
        fixes=(
            source("erp", _("Take the change back, or credit and bill anew")),
            RETRY,
        ),
        auto=Auto.NEVER,
        detected=(Detected.RULE,),
        detection=_("The ERP shows other lines on a posted invoice than were approved, with the same total."),
        help=_("Look at the ERP's own log of the invoice: who changed it knows why."),
    ),
    Entry(
        code="INV-VOIDED",
        title=_("Invoice was voided in the ERP"),
        explanation=_(
            "An invoice that we know as posted was voided or credited in full in the ERP. Nothing is billed again "
            "by itself, since it may be a concession; billing says whether its work is to be invoiced anew."
        ),
        owner="erp",
        resolvers=("billing_analyst", "controller"),
        severity=Severity.BLOCKING_BILLING,
        fixes=(
            Fix(FixAction.ASK, _("Say whether the work is billed again or given up")),
            RETRY,
        ),
        auto=Auto.NEVER,
        detected=(Detected.RULE,),
        detection=_("The ERP shows an issued invoice as voided."),
        help=_("Ask whether the client was told; the request for payment may still be open."),
    ),
    Entry(
        code="INV-DISPUTED",
        title=_("Client disputes the invoice"),
        explanation=_(
            "The client has objected to a payment of the invoice at its bank. The invoice is shown as disputed here and in "
            "the CRM until that is decided; billing and project manager find the cause. A dispute that is lost takes the "
            "money back, one that is won closes the case."
        ),
        owner="customer",
        resolvers=("billing_analyst", "project_manager"),
        severity=Severity.WARNING,
        fixes=(
            source("billing", _("Answer the dispute with evidence, or accept it")),
            Fix(FixAction.ASK, _("Settle it with the client and record its cause")),
        ),
        auto=Auto.RECHECK,
        detected=(Detected.RULE,),
        detection=_(
            "The billing platform has a dispute of a payment of the invoice that is not decided yet."
        ),
        help=_(
            "The day until which evidence counts is in the sentence. The signed statement of work and the acceptance "
            "certificate are the best evidence there is."
        ),
    ),
)
