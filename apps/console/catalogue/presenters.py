"""The catalogue in words: its lines, the page of one code, and the form of its help text.

Public surface: :func:`lines_of`, :func:`code_page`, :class:`Line`, :class:`CodePage`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.utils.translation import gettext as _

from apps.console.access import ConsoleRequest, Permission, permissions, permitted
from apps.console.catalogue.forms import ANY, NONE
from apps.console.exceptions.board import role_words
from apps.console.exceptions.presenters import owner_words
from apps.core.errors import NotFound
from apps.journal import selectors as journal
from apps.organization import selectors as organization
from apps.triage.catalogue import AREAS, CATALOGUE, Area, Entry
from apps.triage.help import help_texts

#: The newest changes of a help text that the page of a code shows.
SHOWN_CHANGES = 20


@dataclass(frozen=True)
class Line:
    """One code. ``detected`` is empty for what nothing raises yet."""

    entry: Entry
    area: Area
    who: str
    detected: Sequence[str]


@dataclass(frozen=True)
class Editor:
    """The form of one help text. ``entity`` None: for all legal entities. ``why_not`` disables it."""

    entity: Any
    text: str
    version: int
    why_not: str
    conflict: str = ""
    theirs: str = ""


@dataclass(frozen=True)
class CodePage:
    line: Line
    owner: str
    texts: Sequence[Any]
    entities: Sequence[Any]
    editor: Editor
    changes: Sequence[Any]


def lines_of(criteria: Mapping[str, str]) -> list[Line]:
    """The codes that fit, in the order of the desk."""
    return [
        _line(item, area) for area, items in AREAS.items() for item in items if _fits(item, area, criteria)
    ]


def _line(item: Entry, area: Area) -> Line:
    return Line(item, area, role_words(item.resolvers), [str(kind.label) for kind in item.detected])


def _fits(item: Entry, area: Area, criteria: Mapping[str, str]) -> bool:
    wanted = criteria.get("detected", "")
    how = {kind.value for kind in item.detected}
    ways = {"": True, ANY: bool(how), NONE: not how}
    text = f"{item.code} {item.title} {item.explanation} {item.detection} {item.help}".casefold()
    return (
        criteria.get("area", "") in ("", area.value)
        and criteria.get("severity", "") in ("", item.severity.value)
        and (criteria.get("who", "") in ("", *item.resolvers))
        and ways.get(wanted, wanted in how)
        and all(word in text for word in criteria.get("q", "").casefold().split())
    )


def code_page(request: ConsoleRequest, code: str, *, refused: tuple[str, str] | None = None) -> CodePage:
    """One code for one reader. ``?entity=`` says whose help text the form holds; ``refused``: the text that was not saved, and
    why. Raises :class:`NotFound`."""
    item = CATALOGUE.get(code)
    if item is None:
        raise NotFound(_("There is no such code."))
    area = next(area for area, items in AREAS.items() if item in items)
    entities = organization.entities(scope=request.scope)
    wanted = request.POST.get("entity") or request.GET.get("entity", "")
    entity = next((one for one in entities if one.code == wanted), None)
    texts = help_texts(code, request.scope)
    return CodePage(
        line=_line(item, area),
        owner=owner_words(item.owner),
        texts=[row for row in texts if row.text],
        entities=entities,
        editor=_editor(request, texts, entity, refused),
        changes=_changes(request, code),
    )


def _editor(
    request: ConsoleRequest, texts: Sequence[Any], entity: Any, refused: tuple[str, str] | None
) -> Editor:
    row = next((one for one in texts if one.legal_entity_id == (entity.pk if entity else None)), None)
    # No entity has the id 0: a text of all entities is for who may edit everywhere.
    may: Permission = permitted(request, "catalogue.edit", legal_entity_id=entity.pk if entity else 0)
    stored = row.text if row else ""
    kept, conflict = refused or (stored, "")
    return Editor(
        entity,
        kept,
        row.version if row else 0,
        may.why,
        conflict,
        stored if conflict else "",
    )


def _changes(request: ConsoleRequest, code: str) -> list[Any]:
    scope = permissions(request).scope("exception.view")
    rows = journal.history("catalogue_code", code)
    seen = [
        row
        for row in rows
        if row.legal_entity_id is None or scope.allows(legal_entity_id=row.legal_entity_id)
    ]
    return seen[:SHOWN_CHANGES]
