"""What people do in the PSA of the demo: clients accept milestones, consultants book time, leads approve it.

Public surface: :class:`Sheet`, :func:`accept_milestone`, :func:`book`, :func:`days_before`, :func:`month_before`. Projects are
found by their title, which is the deal's name.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

from apps.demo import firm
from apps.demo.sandbox_client import SandboxControl

CONSULTANTS = (
    "Ana Vidal", "Ben Osei", "Clara Nyström", "Dev Malhotra", "Elif Kaya", "Farah Haddad", "Gil Romero", "Hana Sato",
)  # fmt: skip
ROLE_IDS = {role: str(40 + number) for number, role in enumerate(firm.RATES, start=1)}
#: Ids below these are the PSA's own counting.
FIRST_USER, FIRST_STORY = 9001, 900_000


@dataclass(frozen=True)
class Sheet:
    """Hours of one role on one service of a project; ``person`` is a number into :data:`CONSULTANTS`."""

    project: str
    service: str
    role: str
    hours: Decimal
    day_hours: Decimal = Decimal("7.5")
    person: int = 0
    approved: bool = True


def accept_milestone(control: SandboxControl, project: str, title: str, *, certificate: str) -> bool:
    """The client accepts; False when it was accepted already. Raises ``LookupError`` for an unknown milestone."""
    workspace = workspace_of(control, project)
    milestone = control.system("psa").record("billing_milestones", workspace_id=workspace, title=title)
    if milestone["state"] == "accepted":
        return False
    fields: dict[str, Any] = {"state": "accepted", "accepted_at": f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"}
    if certificate:
        fields["acceptance_reference"] = certificate
    control.patch("psa", "billing_milestones", milestone["id"], fields)
    return True


def workspace_of(control: SandboxControl, project: str) -> str:
    """The id of the project. Raises ``LookupError`` unless there is exactly one."""
    return str(control.system("psa").record("workspaces", title=project)["id"])


def book(control: SandboxControl, sheets: Sequence[Sheet], days: Sequence[date]) -> int:
    """Book the sheets on these days, in order, a day's hours a person; projects with time already stay as they are.

    All in one request, so an interruption leaves no half time sheet. Returns the number of entries."""
    workspaces = {str(row["title"]): str(row["id"]) for row in control.records("psa", "workspaces")}
    booked = {str(row["workspace_id"]) for row in control.records("psa", "time_entries")}
    stories: dict[tuple[str, str], dict[str, Any]] = {}
    entries: list[dict[str, Any]] = []
    for sheet in sheets:
        workspace = workspaces[sheet.project]
        if workspace in booked:
            continue
        story = stories.setdefault((workspace, sheet.service), _story(workspace, sheet.service))
        entries += _entries(sheet, workspace, story["id"], days)
    if entries:
        users = [_user(number) for number in range(len(CONSULTANTS))]
        control.seed(
            {"psa": {"users": users, "stories": list(stories.values()), "time_entries": entries}}, emit=True
        )
    return len(entries)


def _user(number: int) -> dict[str, Any]:
    name = CONSULTANTS[number]
    return {"id": str(FIRST_USER + number), "full_name": name, "email_address": address_of(number)}


def address_of(number: int) -> str:
    """The e-mail address of a consultant, in every system."""
    return f"{CONSULTANTS[number].split()[0].lower()}@merridane.example"


def _story(workspace: str, service: str) -> dict[str, Any]:
    place = next(place for place, one in enumerate(firm.SERVICES) if one.code == service)
    number = FIRST_STORY + int(workspace) * len(firm.SERVICES) + place
    return {"id": str(number), "title": service, "workspace_id": workspace, "story_type": "task"}


def _entries(sheet: Sheet, workspace: str, story: str, days: Sequence[date]) -> Iterator[dict[str, Any]]:
    """A day after the other; when the days are used up, the next person starts."""
    left, slot = sheet.hours, 0
    while left > 0:
        hours = min(left, sheet.day_hours)
        person = (sheet.person + slot // len(days)) % len(CONSULTANTS)
        yield {
            "workspace_id": workspace,
            "story_id": story,
            "user_id": str(FIRST_USER + person),
            "role_id": ROLE_IDS[sheet.role],
            "date_performed": days[slot % len(days)].isoformat(),
            "time_in_minutes": int(hours * 60),
            "billable": True,
            "approved": sheet.approved,
        }
        left -= hours
        slot += 1


def days_before(today: date, count: int) -> list[date]:
    """The last ``count`` days from Monday to Friday before today, oldest first."""
    found: list[date] = []
    day = today
    while len(found) < count:
        day -= timedelta(days=1)
        if day.weekday() < 5:
            found.append(day)
    return found[::-1]


def month_before(today: date) -> list[date]:
    """All days from Monday to Friday of the month before today's."""
    last = today.replace(day=1) - timedelta(days=1)
    days = (last.replace(day=number) for number in range(1, last.day + 1))
    return [day for day in days if day.weekday() < 5]
