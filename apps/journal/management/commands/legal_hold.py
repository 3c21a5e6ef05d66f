"""``manage.py legal_hold``: stop all dropping of old data, list what stops it, and let it go on."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from apps.core.errors import AppError
from apps.journal.retention import legal_holds
from apps.journal.services import legal_hold_lift, legal_hold_place


class Command(BaseCommand):
    help = "Without options: list the legal holds in force. --place REASON or --lift NUMBER --why REASON, with --by NAME."

    def add_arguments(self, parser: CommandParser) -> None:
        choice = parser.add_mutually_exclusive_group()
        choice.add_argument("--place", metavar="REASON", help="from now on nothing is dropped")
        choice.add_argument("--lift", metavar="NUMBER", type=int, help="this hold ends")
        parser.add_argument("--why", default="", help="why it is lifted")
        parser.add_argument("--by", default="", help="who asked for it")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            if options["place"] is not None:
                legal_hold_place(reason=options["place"], by=options["by"])
            elif options["lift"] is not None:
                legal_hold_lift(id=options["lift"], by=options["by"], why=options["why"])
        except AppError as error:
            raise CommandError(error.message) from error
        holds = legal_holds()
        for hold in holds:
            self.stdout.write(f"{hold.pk}  {hold.placed_at:%Y-%m-%d}  {hold.placed_by}: {hold.reason}")
        if not holds:
            self.stdout.write("No legal hold is in force; retention drops what is due.")
