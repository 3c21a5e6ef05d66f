"""Types of the catalogue: :class:`Entry`, :class:`Fix`, :class:`Severity`, :class:`Auto`, :class:`Detected`,
:class:`Area`, :data:`GENERIC`."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from django.db import models
from django.utils.text import format_lazy
from django.utils.translation import gettext_lazy as _

#: A translatable text; resolved when it is shown.
Words = Any


class Severity(models.TextChoices):
    """What an open case stops."""

    BLOCKING_PROVISIONING = "blocking-provisioning", _("Stops set-up")
    BLOCKING_BILLING = "blocking-billing", _("Stops billing")
    WARNING = "warning", _("Warning")


class Exposure(models.TextChoices):
    """Money that is not held but may be too much: a figure of its own beside billing held."""

    OVERBILLING = "overbilling", _("Overbilling exposure")
    DUPLICATE = "duplicate", _("Duplicate exposure")


#: By code, since it is a figure of the desk and not a word about the problem.
_EXPOSES = {
    "INV-TOTAL": Exposure.OVERBILLING,
    "RATE-MISMATCH": Exposure.OVERBILLING,
    "RATE-RETRO": Exposure.OVERBILLING,
    "TIME-EDITED": Exposure.OVERBILLING,
    "INV-DUP": Exposure.DUPLICATE,
    "INV-UNKNOWN": Exposure.DUPLICATE,
    "PAY-OUTSIDE": Exposure.DUPLICATE,
    "TIME-DUP": Exposure.DUPLICATE,
}


class FixAction(models.TextChoices):
    """What a person can do about it; ``map_value`` and ``retry`` run in place, the others say where to act."""

    MAP_VALUE = "map_value", _("Map the value")
    DECIDE = "decide", _("Decide it in the case")
    EDIT_IN_SOURCE = "edit_in_source", _("Correct it in the source system")
    RETRY = "retry", _("Run again")
    APPROVE = "approve", _("Get it approved")
    ASK = "ask", _("Ask the person in charge")


class Auto(models.TextChoices):
    """What happens without a person."""

    NEVER = "never", _("Nothing: a person decides")
    RECHECK = "recheck", _("Checked again when the source changes")
    RETRY = "retry", _("Retried with growing pauses, and closed when it succeeds")
    REPLAY = "replay", _("Once the value is mapped, everything that waits for it is run again")
    PROBE = "probe", _("The target is asked what it holds before anything is sent again")


class Detected(models.TextChoices):
    """What raises a code today. An entry without any is described, and not detected yet."""

    RULE = "rule", _("A rule of our plans")
    VENDOR = "vendor", _("A system's refusal")
    POLL = "poll", _("A look at what systems hold")


class Area(models.TextChoices):
    """What a code is about, in the order of the desk; each is one module beside this one."""

    DEALS = "deals", _("Deals")
    AMENDMENTS = "amendments", _("Change orders")
    CUSTOMERS = "customers", _("Customers and legal entities")
    PROJECTS = "projects", _("Projects and people")
    RATES = "rates", _("Rates, billing rules and limits")
    DELIVERY = "delivery", _("Time, expenses and milestones")
    TAX = "tax", _("Tax")
    BILLING = "billing", _("Invoices and payments")
    INTEGRATION = "integration", _("Connections")


@dataclass(frozen=True)
class Fix:
    """A suggested fix. ``mapping_kind`` for ``map_value``; ``system`` (crm, psa, erp, billing) for ``edit_in_source``."""

    action: FixAction
    label: Words
    mapping_kind: str = ""
    system: str = ""


@dataclass(frozen=True)
class Entry:
    """One code. ``owner`` names the truth (``crm``, ``psa``, ``erp``, ``billing``, ``console``, ``contract``, ``customer``,
    ``directory`` of people, or an ``authority`` and its registers); ``resolvers`` are role names of ``organization``, who
    must act first. ``detection`` is the sentence that says when it is raised, ``detected`` by what today (empty: not yet),
    ``awaits`` what is missing
    until then, ``help`` what to try first. ``own``: found while this product was built, not one of the trade's usual list."""

    code: str
    title: Words
    explanation: Words
    owner: str
    resolvers: tuple[str, ...]
    severity: Severity
    fixes: tuple[Fix, ...]
    auto: Auto
    detected: tuple[Detected, ...] = ()
    awaits: Words = ""
    detection: Words = ""
    help: Words = ""
    own: bool = False

    def named(self, code: str) -> Entry:
        """A copy under another code whose title shows that code as it came."""
        return replace(self, code=code, title=format_lazy("{}: {}", self.title, code))

    @property
    def mapping_kind(self) -> str:
        """The kind of mapping that fixes it, or ``""``."""
        return next((fix.mapping_kind for fix in self.fixes if fix.action is FixAction.MAP_VALUE), "")

    @property
    def exposure(self) -> Exposure | None:
        """What it might have billed besides what it holds."""
        return _EXPOSES.get(self.code)

    @property
    def blocks(self) -> bool:
        return self.severity is not Severity.WARNING


RETRY = Fix(FixAction.RETRY, _("Run the transaction again"))


def source(system: str, label: Words) -> Fix:
    """Correct it where the truth is."""
    return Fix(FixAction.EDIT_IN_SOURCE, label, system=system)


def mapped(kind: str, label: Words) -> Fix:
    """Give the value its partner."""
    return Fix(FixAction.MAP_VALUE, label, mapping_kind=kind)


GENERIC = Entry(
    code="",
    title=_("Unknown problem"),
    explanation=_(
        "The plan or a system reported a problem that the catalogue does not know. Nothing was written after it. "
        "The sentence and the raw code are shown as they came; an administrator finds out what they mean."
    ),
    owner="console",
    resolvers=("admin", "billing_analyst"),
    severity=Severity.BLOCKING_PROVISIONING,
    fixes=(RETRY,),
    auto=Auto.NEVER,
    detected=(Detected.RULE, Detected.VENDOR),
    detection=_("A plan or a system reports a code that is not listed here."),
    help=_("Show the sentence and the answer under Technical to whoever keeps the system that it names."),
    own=True,
)
