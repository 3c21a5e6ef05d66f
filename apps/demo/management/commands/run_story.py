"""``manage.py run_story``: the story of the product on fresh data, head-less; exit code 1 with the reason when it differs."""

from __future__ import annotations

import base64
import os
import secrets
import time
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from apps.connectors import services as connectors
from apps.core import clock
from apps.demo.install import install
from apps.demo.sandbox_client import SandboxControl
from apps.demo.story import Differs, Stage, play
from apps.organization import selectors as organization
from apps.organization.apikeys import api_key_create


class Command(BaseCommand):
    help = "Play the story from closed deal to paid invoice through the doors and the console, and check every step."

    def handle(self, *args: Any, **options: Any) -> None:
        began = time.monotonic()
        control = SandboxControl(settings.SANDBOX_URL)
        web_url = f"http://127.0.0.1:{os.environ.get('WEB_PORT', '8000')}"
        port = int(settings.SANDBOX_URL.rpartition(":")[2].strip("/"))
        if control.records("crm", "Opportunity"):
            raise CommandError("The story starts on fresh data, and the CRM has deals already.")
        install(control=control, sandbox_port=port, web_url=web_url)
        self._say(f"The firm is set up ({time.monotonic() - began:.1f} s).")
        _key, api_key = api_key_create(name="CRM", scopes=["deal.validate"])
        stage = Stage(
            control=control,
            web_url=web_url,
            api_key=api_key,
            hook_secret=_new_signing_secret(control, web_url),
            today=clock.today(),
            write=self._say,
        )
        try:
            play(stage)
        except (Differs, LookupError) as differs:
            raise CommandError(f"The story differs. {differs}") from differs
        self._say(f"\nThe story holds, in {time.monotonic() - began:.1f} s.")

    def _say(self, text: str) -> None:
        self.stdout.write(text)
        self.stdout.flush()


def _new_signing_secret(control: SandboxControl, web_url: str) -> str:
    """A signing secret that the story knows too, so that it can sign an event that is too old."""
    secret = "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode()
    system = organization.system("crm")
    base_url = f"http://127.0.0.1:{int(settings.SANDBOX_URL.rpartition(':')[2].strip('/')) + 1}"
    connectors.connection_set(
        system=system, base_url=base_url, config={"client_id": "pssync"}, secrets={"webhook_secret": secret}
    )
    control.webhook("crm", url=f"{web_url}/hooks/crm", secret=secret)
    return secret
