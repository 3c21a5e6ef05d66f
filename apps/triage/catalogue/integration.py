"""Catalogue codes of the connections themselves. Public surface: :data:`ENTRIES`."""

from __future__ import annotations

from django.utils.translation import gettext_lazy as _

from apps.triage.catalogue.types import RETRY, Auto, Detected, Entry, Fix, FixAction, Severity

ENTRIES = (
    Entry(
        code="INT-AUTH",
        title=_("System refuses our log-in"),
        explanation=_(
            "The credentials of the connection are refused, revoked or expired. Everything for this "
            "system waits; nothing is lost. An administrator renews them."
        ),
        owner="console",
        resolvers=("admin",),
        severity=Severity.BLOCKING_PROVISIONING,
        fixes=(Fix(FixAction.ASK, _("Renew the credentials of the connection")), RETRY),
        auto=Auto.NEVER,
        detected=(Detected.VENDOR,),
        detection=_("A system refuses our credentials twice in a row, with a fresh token in between."),
        help=_("Renew the credentials under Systems; what waits goes on by itself."),
    ),
    Entry(
        code="INT-PERM",
        title=_("Our account lacks a permission"),
        explanation=_(
            "The system knows us, but does not let our account do this. Its administrator grants the "
            "permission."
        ),
        owner="console",
        resolvers=("admin",),
        severity=Severity.BLOCKING_PROVISIONING,
        fixes=(Fix(FixAction.ASK, _("Have the permission granted")), RETRY),
        auto=Auto.NEVER,
        detected=(Detected.VENDOR,),
        detection=_(
            "A system refuses the request for lack of a permission; request limits do not count here."
        ),
        help=_(
            "The vendor's sentence names the object. Give the integration's role that one permission, not an "
            "administrator's."
        ),
    ),
    Entry(
        code="INT-RATE",
        title=_("System asks us to slow down"),
        explanation=_(
            "The request limit of the system is used up. Work goes on by itself as soon as the limit "
            "allows; look here only if it lasts."
        ),
        owner="console",
        resolvers=("admin",),
        severity=Severity.WARNING,
        fixes=(RETRY,),
        auto=Auto.RETRY,
        detected=(Detected.VENDOR,),
        detection=_("A system answers that the request limit is used up."),
        help=_("If it comes back every day, another integration shares the limit."),
    ),
    Entry(
        code="INT-LOCK",
        title=_("Record is being changed by somebody else"),
        explanation=_(
            "Another person or program held the record at the same moment, or changed it after we read "
            "it. It is read again and planned anew."
        ),
        owner="console",
        resolvers=("admin",),
        severity=Severity.WARNING,
        fixes=(RETRY,),
        auto=Auto.RETRY,
        detected=(Detected.VENDOR,),
        detection=_("A system says that the record is locked, or was changed after we read it."),
        help=_("Nothing to do unless it stays: then somebody has the record open."),
    ),
    Entry(
        code="INT-SCHEMA",
        title=_("System answers in an unexpected form"),
        explanation=_(
            "A field that we send or read is unknown to the system, or has another type than agreed. "
            "Probably it was changed there; writing blindly could damage data."
        ),
        owner="console",
        resolvers=("admin",),
        severity=Severity.BLOCKING_PROVISIONING,
        fixes=(Fix(FixAction.ASK, _("Compare the fields with the system's settings")), RETRY),
        auto=Auto.NEVER,
        detected=(Detected.VENDOR,),
        detection=_("A field, record type or answer is not what was agreed with the system."),
        help=_("Ask the system's administrator what was renamed since the last good run."),
    ),
    Entry(
        code="INT-REJECTED",
        title=_("System refuses the data"),
        explanation=_(
            "A rule of the system that we write to, or one of our own, does not allow these data; its "
            "sentence is shown as it came. Sending the same again would fail again: the value is corrected "
            "where it is kept, or the rule is changed by who made it."
        ),
        owner="crm",
        resolvers=("revops_analyst", "billing_analyst"),
        severity=Severity.BLOCKING_PROVISIONING,
        fixes=(Fix(FixAction.ASK, _("Correct what the sentence names, where it is kept")), RETRY),
        auto=Auto.RECHECK,
        detected=(Detected.VENDOR,),
        detection=_("A system refuses the data with a sentence and no code that we know."),
        help=_("Read the vendor's sentence: validation rules of the firm's own are written there in words."),
        own=True,
    ),
    Entry(
        code="INT-POISON",
        title=_("Gave up after many attempts"),
        explanation=_(
            "The transaction failed or stopped its worker again and again and was set aside, so that "
            "others are not held up. The last error is shown; it can be run again once its cause is "
            "removed."
        ),
        owner="console",
        resolvers=("admin",),
        severity=Severity.BLOCKING_PROVISIONING,
        fixes=(RETRY,),
        auto=Auto.NEVER,
        detected=(Detected.RULE,),
        detection=_(
            "The attempts that a transaction is given are used up, or its worker stopped again and again."
        ),
        help=_(
            "Look at the last error under Technical before it is run again; ten more attempts of the same will "
            "fail too."
        ),
    ),
    Entry(
        code="INT-GAP",
        title=_("Changes may have been missed"),
        explanation=_(
            "The connection was silent for longer than the system keeps its changes. Everything since the "
            "last known moment is read again and compared."
        ),
        owner="console",
        resolvers=("admin",),
        severity=Severity.WARNING,
        fixes=(RETRY,),
        auto=Auto.RETRY,
        detected=(Detected.POLL,),
        detection=_("A system has not been read for longer than it keeps its changes."),
        help=_(
            "Everything since the last known moment is read again; watch that the case closes within the hour."
        ),
    ),
    Entry(
        code="INT-SIG",
        title=_("Messages with a wrong signature"),
        explanation=_(
            "Messages arrived at a door of this console whose signature or time stamp is wrong. They were "
            "refused; what they would have told is found by polling."
        ),
        owner="console",
        resolvers=("admin",),
        severity=Severity.WARNING,
        fixes=(Fix(FixAction.ASK, _("Compare the secret on both sides, or block the sender")),),
        auto=Auto.RECHECK,
        detected=(Detected.POLL,),
        detection=_(
            "Doors refused messages of a system for their signature or time stamp within the last hour."
        ),
        help=_("Right after a secret was changed it is the secret. At any other time ask security."),
    ),
    Entry(
        code="INT-RECON",
        title=_("Systems do not tie out"),
        explanation=_("The nightly comparison found records or sums that differ between two systems."),
        owner="console",
        resolvers=("admin", "controller"),
        severity=Severity.WARNING,
        fixes=(Fix(FixAction.ASK, _("Repair the difference from the list")),),
        auto=Auto.NEVER,
        awaits=_("Comes with reconciliation."),
        detection=_("Counts or sums of the nightly comparison differ."),
        help=_("Start with what is missing on one side; differing amounts mostly follow from it."),
    ),
    Entry(
        code="INT-NOTIFY",
        title=_("Notifications do not arrive"),
        explanation=_(
            "A receiver of our announcements refuses them or does not answer any more. Nothing of the work itself "
            "is held up."
        ),
        owner="console",
        resolvers=("admin",),
        severity=Severity.WARNING,
        fixes=(
            Fix(FixAction.ASK, _("Correct or replace the receiver's address")),
            RETRY,
        ),
        auto=Auto.RECHECK,
        detected=(Detected.POLL,),
        detection=_(
            "A receiver was switched off by its own answer, or deliveries to it were given up within the last "
            "day."
        ),
        help=_(
            "Archived channels and expired links are the usual reason. What was given up is sent again from the list "
            "of deliveries."
        ),
    ),
)
