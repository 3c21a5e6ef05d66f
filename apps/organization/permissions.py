"""What each role may do, and which roles one person may not hold together. Data only: no queries here.

Public surface: :class:`Role`, :data:`VERBS`, :data:`ROLE_VERBS`, :data:`CONFLICTS`, :func:`roles_with`,
:func:`conflict_between`.

Sources: roles of a professional-services order-to-cash desk; segregation of duties after the usual
order-to-cash matrices (invoice × cash application, mapping edit × confirmation, administration × any
approval, audit × any act).
"""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _


class Role(models.TextChoices):
    """Roles in the order in which people meet them: finance, revenue operations, delivery, administration."""

    BILLING_ANALYST = "billing_analyst", _("Billing analyst")
    RECEIVABLES = "receivables", _("Receivables")
    TAX = "tax", _("Tax")
    CONTROLLER = "controller", _("Controller")
    CFO = "cfo", _("CFO")
    REVOPS_ANALYST = "revops_analyst", _("Revenue operations analyst")
    REVOPS_APPROVER = "revops_approver", _("Revenue operations approver")
    PROJECT_MANAGER = "project_manager", _("Project manager")
    PRACTICE_LEAD = "practice_lead", _("Practice lead")
    ADMIN = "admin", _("Administrator")
    AUDITOR = "auditor", _("Auditor")


#: Every verb with the words that finish "… may not": used in refusals.
VERBS = {
    "engagement.view": _("see engagements"),
    "transaction.view": _("see transactions"),
    "transaction.replay": _("run transactions again"),
    "exception.view": _("see exceptions"),
    "exception.fix": _("fix exceptions"),
    "exception.comment": _("comment on exceptions"),
    "catalogue.edit": _("edit the help texts of the catalogue"),
    "mapping.view": _("see mappings"),
    "mapping.add": _("add mappings"),
    "mapping.confirm": _("confirm mappings"),
    "prebill.view": _("see prebills"),
    "prebill.approve_pm": _("approve prebills for delivery"),
    "prebill.approve_finance": _("approve prebills for finance"),
    "prebill.send_back": _("send prebills back"),
    "system.view": _("see systems"),
    "system.manage": _("manage systems"),
    "audit.view": _("see the audit trail"),
    "payload.reveal": _("reveal payloads"),
    "deal.validate": _("validate deals"),
}

_VIEWS = frozenset(verb for verb in VERBS if verb.endswith(".view"))
_DESK = frozenset(
    {
        "engagement.view",
        "transaction.view",
        "exception.view",
        "exception.fix",
        "exception.comment",
        "mapping.view",
        "prebill.view",
        "system.view",
    }
)

ROLE_VERBS: dict[str, frozenset[str]] = {
    Role.BILLING_ANALYST: _DESK | {"transaction.replay", "mapping.add", "prebill.send_back"},
    Role.RECEIVABLES: _DESK | {"transaction.replay"},
    Role.TAX: _DESK | {"transaction.replay", "mapping.add"},
    Role.CONTROLLER: _VIEWS
    | {
        "transaction.replay",
        "exception.fix",
        "exception.comment",
        "mapping.confirm",
        "prebill.approve_finance",
        "prebill.send_back",
        "payload.reveal",
    },
    Role.CFO: _VIEWS
    | {"exception.comment", "mapping.confirm", "prebill.approve_finance", "prebill.send_back"},
    Role.REVOPS_ANALYST: _DESK | {"transaction.replay", "mapping.add", "deal.validate"},
    Role.REVOPS_APPROVER: _DESK | {"transaction.replay", "deal.validate", "audit.view"},
    Role.PROJECT_MANAGER: frozenset(
        {
            "engagement.view",
            "transaction.view",
            "exception.view",
            "exception.fix",
            "exception.comment",
            "prebill.view",
            "prebill.approve_pm",
            "prebill.send_back",
        }
    ),
    Role.PRACTICE_LEAD: frozenset(
        {
            "engagement.view",
            "transaction.view",
            "exception.view",
            "exception.fix",
            "exception.comment",
            "prebill.view",
            "prebill.approve_pm",
            "prebill.send_back",
        }
    ),
    Role.ADMIN: frozenset(
        {
            "engagement.view",
            "transaction.view",
            "transaction.replay",
            "exception.view",
            "exception.comment",
            "catalogue.edit",
            "mapping.view",
            "mapping.add",
            "system.view",
            "system.manage",
            "audit.view",
            "payload.reveal",
            "deal.validate",
        }
    ),
    Role.AUDITOR: _VIEWS,
}

#: Pairs of roles that one person may not hold together, with the reason shown when a grant is refused.
CONFLICTS: tuple[tuple[Role, Role, object], ...] = (
    (Role.ADMIN, Role.CONTROLLER, _("who administers systems may not approve for finance")),
    (Role.ADMIN, Role.CFO, _("who administers systems may not approve for finance")),
    (Role.ADMIN, Role.REVOPS_APPROVER, _("who administers users may not approve")),
    (Role.ADMIN, Role.PROJECT_MANAGER, _("who administers users may not approve")),
    (Role.ADMIN, Role.PRACTICE_LEAD, _("who administers users may not approve")),
    (Role.BILLING_ANALYST, Role.CONTROLLER, _("who prepares invoices and mappings may not approve them")),
    (Role.BILLING_ANALYST, Role.CFO, _("who prepares invoices and mappings may not approve them")),
    (Role.BILLING_ANALYST, Role.RECEIVABLES, _("who prepares invoices may not apply the cash")),
    (Role.TAX, Role.CONTROLLER, _("who maps tax codes may not confirm them")),
    (Role.TAX, Role.CFO, _("who maps tax codes may not confirm them")),
    (Role.REVOPS_ANALYST, Role.REVOPS_APPROVER, _("who proposes a change may not approve it")),
    (Role.REVOPS_ANALYST, Role.CONTROLLER, _("who prepares mappings may not confirm them")),
    (Role.REVOPS_ANALYST, Role.CFO, _("who prepares mappings may not confirm them")),
    *(
        (Role.AUDITOR, role, _("an auditor may not act on what is audited"))
        for role in Role
        if role != Role.AUDITOR
    ),
)


def roles_with(verb: str) -> frozenset[str]:
    """The roles that hold ``verb``; ``KeyError`` for an unknown verb (a typing slip fails closed)."""
    if verb not in VERBS:
        raise KeyError(f"{verb!r} is not a verb of this house")
    return frozenset(role for role, verbs in ROLE_VERBS.items() if verb in verbs)


def conflict_between(role: str, held: set[str]) -> tuple[Role, object] | None:
    """The first of the ``held`` roles that ``role`` may not be combined with, and why."""
    for first, second, reason in CONFLICTS:
        if role == first and second in held:
            return second, reason
        if role == second and first in held:
            return first, reason
    return None


class Audience(models.TextChoices):
    """Who finds a saved view in the list of views."""

    ME = "me", _("Only me")
    ROLE = "role", _("Everyone with my role")
    EVERYONE = "everyone", _("Everyone")
