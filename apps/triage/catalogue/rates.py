"""Catalogue codes of rates, billing rules and agreed limits. Public surface: :data:`ENTRIES`."""

from __future__ import annotations

from django.utils.translation import gettext_lazy as _

from apps.triage.catalogue.types import RETRY, Auto, Detected, Entry, Fix, FixAction, Severity, source

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
        detected=(Detected.RULE,),
        detection=_("The card prices the role, but no line is valid on the day of work."),
        help=_(
            "Often the new year's rates were published late: ask for them, the hours price themselves afterwards."
        ),
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
        detected=(Detected.RULE, Detected.VENDOR),
        detection=_(
            "Neither the engagement's card nor that of the legal entity prices the role; or the project system "
            "does not know the role."
        ),
        help=_("Check the role of the entry first. A wrong role is corrected faster than a rate is agreed."),
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
        detected=(Detected.RULE,),
        detection=_(
            "Two lines of equal rank price the same role on the day of work, or a new line overlaps a published "
            "one."
        ),
        help=_("End the one that was replaced on the day before the other begins."),
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
        detected=(Detected.RULE,),
        detection=_("The only rate for this role and day is in another currency than the engagement."),
        help=_(
            "Never convert by hand. The price in the contract's currency was agreed somewhere, usually in the "
            "annex."
        ),
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
        detected=(Detected.VENDOR,),
        detection=_("The project system refuses the rate card that a project refers to."),
        help=_("Projects copy their card. Send the current one and have the unbilled time rated again."),
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
        detected=(Detected.RULE,),
        detection=_("Delivered work belongs to no service line of the current terms."),
        help=_(
            "Mostly the work was booked on the wrong service; correct it in the project system before a change "
            "order is started."
        ),
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
        detected=(Detected.RULE,),
        detection=_("The billing schedule does not add up to the fixed-price lines."),
        help=_("A residue from thirds belongs into the last instalment."),
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
        detected=(Detected.RULE,),
        detection=_("Billed, drafted and ready work together exceed the not-to-exceed amount of the terms."),
        help=_(
            "Bill up to the maximum now. The rest waits for a change order or is written down with a reason."
        ),
    ),
    Entry(
        code="RATE-MISMATCH",
        title=_("Project system rates the time differently"),
        explanation=_(
            "An hour has another rate in the project system than the contract's card says. The card wins for the "
            "invoice; the project's own figures are wrong until they agree."
        ),
        owner="contract",
        resolvers=("billing_analyst", "admin"),
        severity=Severity.WARNING,
        fixes=(
            source("psa", _("Correct the rate, or the hours of a day, in the project system")),
            RETRY,
        ),
        auto=Auto.RECHECK,
        detected=(Detected.RULE,),
        detection=_(
            "The rate of a time entry differs from the rate that the card gives for its role and day by more than "
            "the tolerance."
        ),
        help=_(
            "A factor like 8 to 7.5 points at the length of a day, a single percentage at an indexed card."
        ),
    ),
    Entry(
        code="RATE-RETRO",
        title=_("Rate changes what is already billed"),
        explanation=_(
            "A new rate is to hold from a day that has been invoiced already. Lower prices mean a credit note, "
            "higher ones an additional invoice or a later start."
        ),
        owner="contract",
        resolvers=("cfo", "controller"),
        severity=Severity.BLOCKING_BILLING,
        fixes=(Fix(FixAction.APPROVE, _("Approve credit and new invoice, or a later start")),),
        auto=Auto.NEVER,
        awaits=_("Comes with dated changes of rate cards."),
        detection=_("A published rate begins on or before the last billed day."),
        help=_("Ask what the client was told: retroactive increases are rarely agreed."),
    ),
    Entry(
        code="RATE-BELOW-FLOOR",
        title=_("Rate below the minimum"),
        explanation=_(
            "The agreed rate is below the minimum that the pricing policy allows for this role. The practice lead "
            "accepts it or it is agreed again."
        ),
        owner="contract",
        resolvers=("practice_lead", "controller"),
        severity=Severity.WARNING,
        fixes=(Fix(FixAction.APPROVE, _("Accept the rate")),),
        auto=Auto.NEVER,
        awaits=_("Comes with rate cards: a rate has no minimum yet."),
        detection=_("The effective rate is below the floor of the role or its margin."),
        help=_("A volume discount on the whole deal may be the reason; say so in the approval."),
    ),
    Entry(
        code="CAP-NEAR",
        title=_("Agreed maximum is nearly reached"),
        explanation=_(
            "Four fifths or more of the amount that the contract allows is billed or ready to bill. Work goes on; "
            "the project manager should talk to the client before it is exceeded."
        ),
        owner="contract",
        resolvers=("project_manager", "billing_analyst"),
        severity=Severity.WARNING,
        fixes=(Fix(FixAction.APPROVE, _("Agree a change order in time")),),
        auto=Auto.RECHECK,
        detected=(Detected.RULE,),
        detection=_("Billed, drafted and ready work reach 80 % of the not-to-exceed amount of the terms."),
        help=_("Compare what is left with the hours still planned; a change order takes weeks."),
    ),
    Entry(
        code="RET-OVER",
        title=_("Retainer hours exceeded"),
        explanation=_(
            "More hours were worked in the period than the retainer covers. They are billed as overage, moved to "
            "the next period or written down, as the contract says."
        ),
        owner="contract",
        resolvers=("project_manager", "billing_analyst"),
        severity=Severity.BLOCKING_BILLING,
        fixes=(Fix(FixAction.ASK, _("Decide by the rule of the contract")),),
        auto=Auto.RECHECK,
        awaits=_("Comes with retainers: their periods and hours are not kept yet."),
        detection=_("Hours of the period exceed the retainer's."),
        help=_("The rule is in the contract; without one, overage is agreed before it is billed."),
    ),
    Entry(
        code="RET-UNDER",
        title=_("Retainer hours unused"),
        explanation=_(
            "The period ended with hours of the retainer unused. They roll over or expire, as the contract says."
        ),
        owner="contract",
        resolvers=("project_manager", "billing_analyst"),
        severity=Severity.WARNING,
        fixes=(Fix(FixAction.ASK, _("Decide by the rule of the contract")),),
        auto=Auto.RECHECK,
        awaits=_("Comes with retainers: their periods and hours are not kept yet."),
        detection=_("Hours of the retainer are left at the end of the period."),
        help=_("Tell the client before they expire."),
    ),
    Entry(
        code="PO-EXHAUSTED",
        title=_("Purchase order is used up"),
        explanation=_(
            "What is ready is more than what is left of the client's purchase order. What still fits is billed, the rest "
            "waits: the client would refuse it. A raised or new order in the CRM releases it."
        ),
        owner="customer",
        resolvers=("project_manager", "revops_analyst"),
        severity=Severity.BLOCKING_BILLING,
        fixes=(
            Fix(FixAction.ASK, _("Get a new or raised purchase order from the client")),
            source("crm", _("Enter its number and amount in the CRM")),
        ),
        auto=Auto.RECHECK,
        detected=(Detected.RULE,),
        detection=_(
            "All that is billed, drafted and ready under the number of the order, for this or another engagement of the "
            "client with the legal entity, exceeds its amount in the CRM."
        ),
        help=_("Send the buyer the amount until the end of the engagement, not only of this invoice."),
    ),
)
