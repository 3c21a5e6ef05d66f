"""``manage.py retention``: drop what is due now instead of waiting for the nightly task."""

from typing import Any

from django.core.management.base import BaseCommand

from apps.journal.services import retire


class Command(BaseCommand):
    help = "Drop months that are older than RETENTION_MONTHS_… say; the same as the nightly task journal.retention."

    def handle(self, *args: Any, **options: Any) -> None:
        done = retire()
        if done.held:
            self.stdout.write(
                "A legal hold is in force: nothing was dropped (manage.py legal_hold lists it)."
            )
            return
        for name in done.dropped:
            self.stdout.write(f"dropped {name}")
        for name, reason in done.kept:
            self.stdout.write(f"kept {name}: {reason}")
        self.stdout.write(
            f"{done.carried} row(s) still needed were carried over, {done.deleted} deleted that no longer are; "
            f"{done.keys} key(s) and {done.rejects} reject(s) forgotten."
        )
