"""Templates hold nothing that the content security policy would refuse, and load nothing from strangers."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import pytest

from tests.house.scan import ROOT, tracked_files

TAGS = re.compile(r"\{%.*?%\}|\{#.*?#\}|\{\{.*?\}\}", re.S)
COMMENT = re.compile(r"\{%\s*comment\b.*?\{%\s*endcomment\s*%\}", re.S)
DATA_TYPES = {"application/json", "importmap"}


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[int, str]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        if tag == "script" and "src" not in values and values.get("type") not in DATA_TYPES:
            self._say("an inline script")
        if tag == "style":
            self._say("an inline style sheet")
        for name, value in values.items():
            if name == "style":
                self._say("a style attribute")
            if name.startswith(("on", "hx-on", "data-hx-on")):
                self._say(f"an {name} handler")
            if value.strip().lower().startswith("javascript:"):
                self._say("a javascript: address")
            if name == "src" and re.match(r"(https?:)?//", value.strip()):
                self._say("a source on another host")
            if tag == "link" and name == "href" and re.match(r"(https?:)?//", value.strip()):
                self._say("a style sheet or icon on another host")

    def _say(self, what: str) -> None:
        self.found.append((self.getpos()[0], what))


def template_findings(path: str, source: str) -> list[str]:
    # Template tags become as many blank lines as they had, so that line numbers stay true.
    plain = source
    for pattern in (COMMENT, TAGS):
        plain = pattern.sub(lambda match: " x " + "\n" * match.group().count("\n"), plain)
    reader = _Reader()
    reader.feed(plain)
    return [f"{path}:{line}: {what}" for line, what in reader.found]


def test_no_template_needs_an_exception_from_the_policy():
    templates = [name for name in tracked_files() if name.endswith(".html") and "templates/" in name]
    findings = [
        finding
        for name in templates
        for finding in template_findings(name, (ROOT / name).read_text(encoding="utf-8"))
    ]
    assert findings == []


@pytest.mark.parametrize(
    "source",
    [
        "<script>alert(1)</script>",
        "<style>p {color: red}</style>",
        '<p style="color: red">x</p>',
        '<button {% if a %}onclick="go()"{% endif %}>x</button>',
        '<div hx-on::after-request="go()"></div>',
        '<a href="javascript:go()">x</a>',
        '<script src="https://cdn.example.com/x.js"></script>',
        '<link rel="stylesheet" href="//cdn.example.com/x.css">',
    ],
)
def test_what_the_policy_refuses_is_found(source):
    assert len(template_findings("x.html", source)) == 1


def test_lawful_markup_is_not_found():
    source = (
        '<script src="{% static \'x.js\' %}" defer></script><script type="application/json">{"a": 1}</script>'
        '<a href="https://example.com" hx-get="/x">{# style="" #}</a><img src="data:image/png;base64,AA">'
    )
    assert template_findings("x.html", source) == []
