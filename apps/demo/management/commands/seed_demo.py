"""``manage.py seed_demo``: the demo firm in a running product; again on the same data it changes nothing."""

from __future__ import annotations

import os
import time
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from apps.demo import firm, seeding
from apps.demo.install import install
from apps.demo.patience import TookTooLong
from apps.demo.sandbox_client import SandboxControl


class Command(BaseCommand):
    help = "Set the demo firm up and bring it to life through the real doors and services."

    def handle(self, *args: Any, **options: Any) -> None:
        self._began = time.monotonic()
        if not seeding.seeded():
            control = SandboxControl(settings.SANDBOX_URL)
            self._say("people, entities, systems, mappings")
            port = int(settings.SANDBOX_URL.rpartition(":")[2].strip("/"))
            install(control=control, sandbox_port=port, web_url=_web_url())
            try:
                seeding.seed(control=control, today=seeding.today_everywhere(), say=self._say)
            except TookTooLong as late:
                raise CommandError(str(late)) from late
            found = seeding.summary()
            bills = ", ".join(f"{count} {state}" for state, count in sorted(found["prebills"].items()))
            self._say(
                f"{found['engagements']} engagements, {found['transactions']} transactions, "
                f"{found['cases']} open cases; prebills: {bills}"
            )
        self._log_ins()

    def _say(self, text: str) -> None:
        self.stdout.write(f"  {time.monotonic() - self._began:5.1f} s  {text}")
        self.stdout.flush()

    def _log_ins(self) -> None:
        self.stdout.write(f"\nLog in with one of these names and the password {firm.PASSWORD}")
        for person in firm.PEOPLE:
            where = f" ({', '.join(person.entities)})" if person.entities else ""
            self.stdout.write(f"  {person.username:<8} {person.name}, {person.job_title.lower()}{where}")


def _web_url() -> str:
    """Where the sandbox finds our webhook doors: on this machine."""
    return f"http://127.0.0.1:{os.environ.get('WEB_PORT', '8000')}"
