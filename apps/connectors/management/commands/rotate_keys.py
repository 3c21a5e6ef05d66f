"""``manage.py rotate_keys``: bring all stored credentials under the newest key of SECRETS_KEYS."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError

from apps.connectors.errors import SecretsUnreadable
from apps.connectors.services import secrets_rotate


class Command(BaseCommand):
    help = "Re-encrypt the stored credentials with the first key of SECRETS_KEYS; the old key can be dropped afterwards."

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            count = secrets_rotate()
        except SecretsUnreadable as error:
            raise CommandError(error.message) from error
        self.stdout.write(f"{count} connection(s) now use the newest key.")
