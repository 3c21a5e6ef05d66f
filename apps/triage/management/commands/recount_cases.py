"""``manage.py recount_cases``: compare what is kept of the open cases with the cases, say what differs, and make it again."""

from typing import Any

from django.core.management.base import BaseCommand

from apps.triage import rollups


class Command(BaseCommand):
    help = "Compare billing held and groups with the cases; safe while everything runs. Differences are printed and put right."

    def handle(self, *args: Any, **options: Any) -> None:
        found = rollups.drifts()
        for what, true, told in found:
            self.stdout.write(f"{what}: {told} told, {true} there")
        if found:
            rollups.rebuild()
        self.stdout.write(f"{len(found) or 'no'} difference(s)")
