"""What a step of the story works with: the emulated systems, the console's people, the API, and a printed record.

Public surface: :class:`Stage`, :class:`Differs`, :class:`Step`, :func:`cents`.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from typing import Any, TypeVar

import requests

from apps.demo import firm
from apps.demo.sandbox_client import SandboxControl, SystemControl
from apps.demo.visitor import Page, Refused, Visitor

T = TypeVar("T")
#: How long anything may take that the engine does by itself.
PATIENCE_SECONDS = 90.0


class Differs(Exception):
    """What is not as the story tells, as a sentence."""


@dataclass(frozen=True)
class Step:
    """``play`` does it and checks it; ``title`` is what is printed."""

    number: str
    title: str
    play: Callable[[Stage], None]


@dataclass
class Stage:
    """``notes`` is what later steps need of earlier ones (ids, references)."""

    control: SandboxControl
    web_url: str
    api_key: str
    hook_secret: str
    today: date
    write: Callable[[str], None]
    notes: dict[str, Any] = field(default_factory=dict)
    _people: dict[str, Visitor] = field(default_factory=dict)
    _began: float = field(default_factory=time.monotonic)

    def run(self, step: Step) -> None:
        """Play a step and print it with its time. Raises :class:`Differs`."""
        self.write(f"\nStep {step.number}: {step.title}")
        began = time.monotonic()
        try:
            step.play(self)
        except Refused as refused:
            raise Differs(f"Step {step.number}: {refused}: {refused.text[:300]}") from refused
        except Differs as differs:
            raise Differs(f"Step {step.number}: {differs}") from differs
        now = time.monotonic()
        self.write(f"  held in {now - began:.1f} s ({now - self._began:.1f} s in all)")

    # -- checks -------------------------------------------------------------------------------------------------------

    def check(self, holds: Any, sentence: str) -> None:
        """Print the sentence when it holds, otherwise the story differs."""
        if not holds:
            raise Differs(f"not so: {sentence}")
        self.write(f"  ✓ {sentence}")

    def equal(self, found: Any, expected: Any, what: str) -> None:
        """The same with both values said when they differ."""
        if found != expected:
            raise Differs(f"{what}: expected {expected}, found {found}")
        self.write(f"  ✓ {what}: {found}")

    def until(self, what: str, look: Callable[[], T | None], *, seconds: float = PATIENCE_SECONDS) -> T:
        """Look until it is there; the first true answer. Raises :class:`Differs` after the time."""
        deadline = time.monotonic() + seconds
        while not (found := look()):
            if time.monotonic() > deadline:
                raise Differs(f"not within {seconds:g} s: {what}")
            time.sleep(0.15)
        return found

    def refuses(
        self, who: str, action: Callable[[], Any], sentence: str, *, statuses: tuple[int, ...]
    ) -> str:
        """The console must refuse this person. Returns the words of the refusal."""
        try:
            action()
        except Refused as refused:
            if refused.status not in statuses:
                raise Differs(f"{who} was refused with {refused.status}, expected {statuses}") from refused
            self.write(f"  ✓ {sentence} ({refused.status})")
            return refused.text
        raise Differs(f"not so: {sentence}")

    # -- who and where -------------------------------------------------------------------------------------------------

    def system(self, name: str) -> SystemControl:
        return self.control.system(name)

    def as_person(self, username: str) -> Visitor:
        """That person, signed in at the console."""
        if username not in self._people:
            self._people[username] = Visitor(self.web_url, username, firm.PASSWORD)
        return self._people[username]

    def api(self, path: str, body: dict[str, Any]) -> tuple[dict[str, Any], float]:
        """Ask the API with the program's key: the answer and the seconds it took."""
        began = time.monotonic()
        answer = requests.post(
            f"{self.web_url}{path}",
            json=body,
            headers={"Authorization": f"Api-Key {self.api_key}"},
            timeout=30,
        )
        took = time.monotonic() - began
        if answer.status_code != 200:
            raise Differs(f"{path} answered {answer.status_code}: {answer.text[:300]}")
        return answer.json(), took

    def prebill_page(self, username: str, ref: str) -> Page:
        return self.as_person(username).open(f"/prebills/{ref}/")

    def announcements(self, kind: str, subject: str) -> list[dict[str, Any]]:
        """What the receiver got of this type about this subject."""
        return [
            row
            for row in self.control.sink_events()
            if row["event"].get("type") == kind and row["event"].get("subject") == subject
        ]


def cents(amount: Decimal | str | float | int) -> int:
    """An amount of a two-decimal currency in its minor unit."""
    return int((Decimal(str(amount)) * 100).to_integral_value())
