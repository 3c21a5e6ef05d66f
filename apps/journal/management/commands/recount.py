"""``manage.py recount``: compare the counter tables with the truth, say what differs, and put it right."""

from typing import Any

from django.core.management.base import BaseCommand

from apps.journal.counters import counters, recount


class Command(BaseCommand):
    help = "Count again what the lists' figures come from; safe while everything runs. Differences are printed and corrected."

    def handle(self, *args: Any, **options: Any) -> None:
        for counter in counters():
            found = recount(counter)
            for drift in found:
                entity, keys = drift.total.legal_entity_id or "-", "/".join(drift.total.keys)
                self.stdout.write(
                    f"{counter.name} {entity} {keys}: {drift.total.number} told, {drift.true} there"
                )
            self.stdout.write(f"{counter.name}: {len(found) or 'no'} difference(s)")
