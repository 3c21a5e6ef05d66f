"""Catalogue codes of change orders. Public surface: :data:`ENTRIES`."""

from __future__ import annotations

from django.utils.translation import gettext_lazy as _

from apps.triage.catalogue.types import RETRY, Auto, Detected, Entry, Fix, FixAction, Severity, source

ENTRIES = (
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
        detected=(Detected.RULE,),
        detection=_(
            "The digest of the commercial terms changed after the engagement was set up and no approved change "
            "order covers it."
        ),
        help=_(
            "Compare before and after in the case. If the client has signed, start the change order with the "
            "signed copy."
        ),
    ),
    Entry(
        code="AMD-STALE",
        title=_("Older version of the terms arrived"),
        explanation=_(
            "A message brought terms that are older than those in force. It is discarded; the newer terms stay."
        ),
        owner="console",
        resolvers=("admin",),
        severity=Severity.WARNING,
        fixes=(RETRY,),
        auto=Auto.RECHECK,
        awaits=_("Comes with change orders: versions of the terms are not compared yet."),
        detection=_("A version of the terms that is lower than the one in force arrives."),
        help=_("Nothing to do unless the newer version was wrong."),
    ),
    Entry(
        code="AMD-BILLED",
        title=_("Change order touches what is billed"),
        explanation=_(
            "The change alters a quantity, rate or milestone that an issued invoice already shows. It needs a "
            "credit note and a new invoice, or it starts later."
        ),
        owner="contract",
        resolvers=("controller", "revops_approver"),
        severity=Severity.BLOCKING_BILLING,
        fixes=(Fix(FixAction.APPROVE, _("Decide between credit note and a later start")),),
        auto=Auto.NEVER,
        awaits=_("Comes with change orders."),
        detection=_("The impact of a change order contains lines of issued invoices."),
        help=_("A later start date avoids the credit note and is often what the client expects."),
    ),
    Entry(
        code="AMD-DRIFT",
        title=_("Owned field was edited elsewhere"),
        explanation=_(
            "A field of a customer says something else in the system that is not right about it. Where the ownership rule "
            "writes the right value over it that happens by itself; here the rule leaves it to a person, and nothing is "
            "written."
        ),
        owner="console",
        resolvers=("revops_analyst", "receivables", "admin"),
        severity=Severity.WARNING,
        fixes=(
            source("crm", _("Take the ERP's value over in the CRM, where the ERP is right")),
            source("erp", _("Correct the ERP's record, where the CRM is right")),
            RETRY,
        ),
        auto=Auto.RECHECK,
        detected=(Detected.RULE,),
        detection=_(
            "CRM and ERP show different values in a field of a customer whose ownership rule is to hold or to ask; spelling "
            "alone is no difference."
        ),
        help=_(
            "See who changed it: one person who keeps correcting the wrong screen needs a hint, not a rule."
        ),
    ),
    Entry(
        code="AMD-PARTIAL",
        title=_("Change order applied half-way"),
        explanation=_(
            "An approved change is in force in some systems and not yet in others. Billing of what it touches "
            "waits; running it again goes on where it stopped."
        ),
        owner="console",
        resolvers=("admin",),
        severity=Severity.BLOCKING_BILLING,
        fixes=(RETRY,),
        auto=Auto.RETRY,
        awaits=_("Comes with change orders: no change is applied to several systems as one yet."),
        detection=_("A run that applies an approved change order stopped between two systems."),
        help=_("Look under Technical which system is missing."),
    ),
    Entry(
        code="AMD-CONCURRENT",
        title=_("Two change orders at once"),
        explanation=_(
            "Two open change orders alter the same part of the contract. Approving one would silently undo the "
            "other; they are merged or put in order."
        ),
        owner="contract",
        resolvers=("revops_analyst", "revops_approver"),
        severity=Severity.BLOCKING_BILLING,
        fixes=(Fix(FixAction.ASK, _("Merge the two or put them in order")),),
        auto=Auto.NEVER,
        awaits=_("Comes with change orders."),
        detection=_("Two change orders that are not decided yet touch the same line, rate or milestone."),
        help=_("Ask the client which one was agreed last and withdraw the other."),
    ),
)
