"""“It is fixed there”: a claim about another system that is looked up before it counts.

Public surface: :func:`case_assert`, :func:`asked_system`.

Whoever says that a case has been put right in a system names the record. It is read from the system itself and kept as what
that system shows; the case's transaction is planned against it, and the record must be what the case is about. Only a plan
that clears is run, only its end closes the case.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.utils.translation import gettext as _

from apps.canonical.objects import OBJECTS
from apps.connectors.spi import AdapterError
from apps.core.errors import InvalidInput, Stale, Unavailable, WrongState
from apps.organization import selectors as organization
from apps.sync import selectors as transactions
from apps.sync import services as sync
from apps.triage.catalogue import entry
from apps.triage.models import Case
from apps.triage.services.desk import require
from apps.triage.services.planned import require_certain, run_as_planned

#: A person waits for the look-up.
SECONDS = 15.0
_KINDS = ("crm", "psa", "erp", "billing")


def asked_system(case: Case) -> Any:
    """The system that is right about the case and can be asked; None when its truth is in no system."""
    owner = entry(case.code).owner
    if owner not in _KINDS:
        return None
    if owner == "crm" and ":" in case.subject_key:
        found = {system.code: system for system in organization.systems("crm")}
        named = found.get(case.subject_key.partition(":")[0])
        if named is not None:
            return named
    route = organization.route(case.legal_entity_id, owner) if case.legal_entity_id else None
    return route.system if route else None


def case_assert(*, case: Case, external_id: str, by: Any, why: str = "", seen: str | None = None) -> int:
    """Look the named record up and, when the case clears with it, run its plan. Returns the transaction that runs.

    Raises :class:`InvalidInput` when the system has no such record or it is not what the case is about, :class:`WrongState`
    when it is there and the case would still stop (with the sentence) or something sent is in doubt, :class:`Unavailable` when
    the system does not answer, :class:`Stale`."""
    for verb in ("exception.fix", "transaction.replay"):
        require(case, by, verb)
    system = asked_system(case)
    if system is None:
        raise WrongState(_("What is right here stands in no connected system."))
    external_id = external_id.strip()
    if not external_id or len(external_id) > 100:
        raise InvalidInput(
            _("Name the record by its id in %(system)s.") % {"system": system.name},
            fields={"record": _("Required.")},
        )
    require_certain(case)
    _look_up(case, system, external_id)
    answer = sync.preview(transaction_ids=[case.transaction_id])
    if not answer["results"]:
        raise Stale(_("The transaction of %(ref)s does not exist any more.") % {"ref": case.ref})
    result = answer["results"][0]
    if result["outcome"] != "clears":
        raise WrongState(
            _("%(system)s has record %(id)s, but the case would still stop: %(reason)s")
            % {"system": system.name, "id": external_id, "reason": result["reason"]}
        )
    said = _("Said to be fixed in %(system)s, record %(id)s. %(why)s")
    _compare(case, system, external_id, result["records"])
    note = (said % {"system": system.name, "id": external_id, "why": why.strip()}).strip()
    return run_as_planned(
        case=case,
        transaction_id=case.transaction_id,
        digest=result["digest"],
        by=by,
        note=note,
        seen=seen,
    )


def _kind(case: Case) -> str:
    return case.object_type if case.object_type in OBJECTS else case.subject_kind


def _compare(case: Case, system: Any, external_id: str, planned: Sequence[tuple[str, str, str]]) -> None:
    """The record is one that the plan goes by, or the case's own by its key or a link; where the plan goes by none of its kind
    also one that the case names."""
    kind = _kind(case)
    ids = {its_id for code, its_kind, its_id in planned if (code, its_kind) == (system.code, kind)}
    if not ids and kind == case.object_type:
        ids = {case.value, *(str(one["external_id"]) for one in case.params.get("candidates") or [])}
    if external_id in ids:
        return
    if not transactions.is_about(
        case.transaction_id, system=system, object_type=kind, external_id=external_id
    ):
        raise InvalidInput(
            _("Record %(id)s of %(system)s is not what %(ref)s is about; name the one that was put right.")
            % {"id": external_id, "system": system.name, "ref": case.ref},
            fields={"record": _("Another record.")},
        )


def _look_up(case: Case, system: Any, external_id: str) -> None:
    """Read the record; what the system shows of it is kept."""
    kind = _kind(case)
    try:
        found = sync.look_up(system=system, object_type=kind, external_id=external_id, seconds=SECONDS)
    except AdapterError as error:
        raise Unavailable(
            _("%(system)s could not be asked: %(why)s") % {"system": system.name, "why": error.message}
        ) from error
    if not found:
        raise InvalidInput(
            _("%(system)s has no %(kind)s with the id %(id)s.")
            % {"system": system.name, "kind": kind.replace("_", " "), "id": external_id},
            fields={"record": _("Not found.")},
        )
