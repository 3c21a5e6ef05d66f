"""A real browser on the real web server.

* ``chromium``: one browser for the run; ``visit(...)`` opens a page in a context of its own and fails the test at its end
  when the page reported an error (script, policy or missing file).
* ``console``: the web server over a database of its own that holds the small firm of the screen tests.
* ``artefacts``: where screenshots are kept (``test-artefacts/browser``).
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests
from django.conf import settings
from django.test import override_settings
from playwright.sync_api import Browser, Page, sync_playwright

from apps.demo.visitor import Visitor
from tests.browser.firm import seed
from tests.flows.conftest import served_bench
from tests.people import PASSWORD

__all__ = ["served_bench"]

ARGUMENTS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
WIDE, PHONE = (1280, 860), (390, 844)
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def artefacts() -> Path:
    folder = ROOT / "test-artefacts" / "browser"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@pytest.fixture(scope="module")
def chromium(chromium_path: str) -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium_path, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture
def visit(chromium: Browser) -> Iterator[Callable[..., Page]]:
    """``visit(url, cookies, size=…, theme=…, scripts=…)``: a fresh page, its complaints collected. With ``status`` the answer
    is looked at, and the browser's own word about a refused page is no complaint."""
    contexts, complaints = [], []

    def open_page(
        url: str,
        cookies: dict[str, str] | None = None,
        *,
        size: tuple[int, int] = WIDE,
        theme: str = "light",
        scripts: bool = True,
        status: int | None = None,
    ) -> Page:
        own_word = f"responded with a status of {status} "
        context = chromium.new_context(
            viewport={"width": size[0], "height": size[1]},
            color_scheme=theme,
            java_script_enabled=scripts,
            reduced_motion="reduce",
        )
        contexts.append(context)
        context.add_cookies(
            [
                {"name": name, "value": value, "domain": urlsplit(url).hostname, "path": "/"}
                for name, value in (cookies or {}).items()
            ]
        )
        page = context.new_page()
        page.set_default_timeout(45_000)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on(
            "console",
            lambda said: said.type == "error" and own_word not in said.text and complaints.append(said.text),
        )
        answer = page.goto(url)
        assert status is None or (answer and answer.status == status)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert complaints == []


@dataclass
class Console:
    """The running console and what its database holds."""

    url: str
    firm: Any
    sessions: dict[str, dict[str, str]] = field(default_factory=dict)

    def session(self, username: str) -> dict[str, str]:
        """The cookies of a person who has logged in through the form."""
        if username not in self.sessions:
            visitor = Visitor(self.url, username, PASSWORD)
            self.sessions[username] = visitor.session.cookies.get_dict()
        return self.sessions[username]


@pytest.fixture(scope="module")
def console(
    module_database: Any,
    chromium_path: str,
    free_port_block: Callable[[int], int],
    tmp_path_factory: pytest.TempPathFactory,
    django_db_blocker: Any,
) -> Iterator[Console]:
    port = free_port_block(1)
    url = f"http://127.0.0.1:{port}"
    env = module_database.env | {
        "SECRET_KEY": settings.SECRET_KEY,
        "SECRETS_KEYS": ",".join(settings.SECRETS_KEYS),
        "CELERY_BROKER_URL": "memory://",
    }
    command = [sys.executable, "-m", "gunicorn", "pssync_console.wsgi:application", "-b", f"127.0.0.1:{port}"]
    log = (tmp_path_factory.mktemp("console") / "web.log").open("ab")
    with django_db_blocker.unblock():
        # The server checks passwords as in production, so they are hashed as in production.
        with override_settings(PASSWORD_HASHERS=["django.contrib.auth.hashers.PBKDF2PasswordHasher"]):
            firm = seed()
        server = subprocess.Popen([*command, "--threads=4"], cwd=ROOT, env=env, stdout=log, stderr=log)
        try:
            _wait_until_up(url, server)
            yield Console(url, firm)
        finally:
            server.terminate()
            server.wait(timeout=20)
            log.close()


def _wait_until_up(url: str, server: subprocess.Popen) -> None:
    until = time.monotonic() + 60
    while time.monotonic() < until:
        try:
            if requests.get(f"{url}/livez", timeout=10).status_code == 200:
                return
        except requests.RequestException:
            pass
        assert server.poll() is None, "the web server ended at once"
        time.sleep(0.2)
    raise AssertionError("the web server did not come up within 60 s")
