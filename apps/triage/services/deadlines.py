"""What may be put off, and until when: the rules that causes and single cases have in common.

Inner module of the room. Public surface: :func:`check_until`, :func:`treatment_of`, :func:`check_run`, :func:`past_run`,
:data:`TREATS`.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django.utils.translation import gettext as _

from apps.core import clock
from apps.core.errors import InvalidInput, NotAllowed, WrongState
from apps.organization import selectors as organization
from apps.triage.catalogue import Severity
from apps.triage.models import Case
from apps.triage.states import Treatment
from apps.triage.words import at_words

#: Nothing is put off for longer than this.
LONGEST = timedelta(days=366)
#: Who may let billing pass its run: those who answer for the books.
TREATS = "prebill.approve_finance"


def check_until(until: datetime) -> None:
    now = clock.now()
    if not now < until <= now + LONGEST:
        raise InvalidInput(
            _("Choose a time from now on, at most a year ahead."), fields={"until": _("Not possible.")}
        )


def treatment_of(text: str) -> str:
    if text and text not in Treatment.values:
        raise InvalidInput(_("There is no such treatment."), fields={"treatment": _("Unknown.")})
    return text


def past_run(case: Case, until: datetime | None) -> bool:
    """Whether the case would be out of sight when its invoice run closes."""
    if case.severity == Severity.WARNING:
        return False
    return until is None or case.due_at is None or case.due_at < until


def check_run(first: Case | None, *, treatment: str, by: Any, legal_entity_id: int | None) -> None:
    """Refuse to keep billing (``first``: the nearest that would miss its run) out of sight past its invoice run unless its
    treatment is said by who answers for the books."""
    if first is None:
        return
    if first.due_at is None and not treatment:
        raise WrongState(
            _(
                "%(ref)s keeps billing from its invoice run, and nobody knows which that is. Say what happens to the billing: "
                "accrue, defer, write down or carry forward."
            )
            % {"ref": first.ref}
        )
    if first.due_at is not None and not treatment:
        raise WrongState(
            _(
                "%(ref)s keeps billing from the invoice run that closes on %(deadline)s. Choose a time before it, or say what "
                "happens to the billing: accrue, defer, write down or carry forward."
            )
            % {"ref": first.ref, "deadline": at_words(first.due_at, first.legal_entity)}
        )
    organization.require(by, TREATS, legal_entity_id=legal_entity_id)
    if not organization.scope_of(by, TREATS).allows(legal_entity_id=legal_entity_id):
        raise NotAllowed(_("A treatment past the invoice run is decided by who approves for finance there."))
