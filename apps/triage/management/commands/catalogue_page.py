"""Write ``docs/catalogue.md`` from the catalogue in the code."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand

from apps.triage.catalogue.page import as_markdown


class Command(BaseCommand):
    help = "Writes docs/catalogue.md from the exception catalogue."

    def handle(self, *args: Any, **options: Any) -> None:
        page = Path(settings.BASE_DIR) / "docs" / "catalogue.md"
        page.write_text(as_markdown(), encoding="utf-8")
        self.stdout.write(f"Wrote {page.name}.")
