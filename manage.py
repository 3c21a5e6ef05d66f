#!/usr/bin/env python3
"""Django's command line; starts the embedded PostgreSQL and Valkey for commands that need them."""

import os
import sys

# These read code and settings only: starting a database for them would cost seconds and touch the disk.
WITHOUT_DATABASE = {
    "check",
    "help",
    "version",
    "makemessages",
    "compilemessages",
    "collectstatic",
    "spectacular",
}


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "pssync_console.settings")
    from django.core.exceptions import ImproperlyConfigured
    from django.core.management import execute_from_command_line

    from pssync_console import runtime

    command = sys.argv[1].lstrip("-") if len(sys.argv) > 1 else "help"
    try:
        from django.conf import settings

        settings.INSTALLED_APPS  # noqa: B018  reads the environment, to say in one sentence what is wrong there
        if command not in WITHOUT_DATABASE and not {"-h", "--help"} & set(sys.argv):
            runtime.ensure()
    except (ImproperlyConfigured, runtime.RuntimeFailure) as error:
        sys.exit(f"pssync: {error}")
    execute_from_command_line(sys.argv)


if __name__ == "__main__":
    main()
