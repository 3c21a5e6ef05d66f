"""Catalogue codes of the connections themselves. Public surface: :data:`ENTRIES`."""

from __future__ import annotations

from django.utils.translation import gettext_lazy as _

from apps.triage.catalogue.types import RETRY, Auto, Entry, Fix, FixAction, Severity

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
    ),
)
