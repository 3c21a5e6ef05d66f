"""A person at the console without JavaScript: pages, links and forms over HTTP, as a signed-in user.

Public surface: :class:`Visitor`, :class:`Page`, :class:`Form`, :class:`Refused`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from html.parser import HTMLParser
from urllib.parse import urljoin

import requests

#: Elements that do not part the words around them.
INLINE = frozenset(
    {"a", "abbr", "b", "bdi", "code", "em", "i", "small", "span", "strong", "sub", "sup", "time"}
)


class Refused(Exception):
    """The console answered with an error status."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(f"the console answered {status}")
        self.status = status
        self.text = text


@dataclass
class Form:
    """A form with its fields as they stand; ``choices`` are the values of its selects and radios."""

    action: str
    method: str
    fields: dict[str, str] = field(default_factory=dict)
    choices: dict[str, list[str]] = field(default_factory=dict)


class _Reader(HTMLParser):
    """Collects forms, links and the visible text of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.forms: list[Form] = []
        self.links: list[str] = []
        self.words: list[str] = []
        self._form: Form | None = None
        self._select = ""
        self._silent = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        if tag not in INLINE:
            self.words.append(" ")
        if tag in ("script", "style"):
            self._silent += 1
        elif tag == "a" and values.get("href"):
            self.links.append(values["href"])
        elif tag == "form":
            self._form = Form(values.get("action", ""), values.get("method", "get").lower())
            self.forms.append(self._form)
        elif (
            self._form is not None and values.get("name") and tag in ("input", "button", "textarea", "select")
        ):
            self._field(tag, values)
        elif tag == "option" and self._form is not None and self._select:
            self._form.choices[self._select].append(values.get("value", ""))
            if "selected" in values:
                self._form.fields[self._select] = values.get("value", "")

    def _field(self, tag: str, values: dict[str, str]) -> None:
        assert self._form is not None  # the caller saw the form
        name, kind = values["name"], values.get("type", "text")
        if tag == "select":
            self._select = name
            self._form.choices[name] = []
        elif tag == "input" and kind in ("radio", "checkbox"):
            self._form.choices.setdefault(name, []).append(values.get("value", "on"))
            if "checked" in values:
                self._form.fields[name] = values.get("value", "on")
        elif tag != "button" and kind not in ("submit", "button"):
            self._form.fields[name] = values.get("value", "")

    def handle_endtag(self, tag: str) -> None:
        if tag not in INLINE:
            self.words.append(" ")
        if tag in ("script", "style"):
            self._silent -= 1
        elif tag == "form":
            self._form = None
        elif tag == "select":
            self._select = ""

    def handle_data(self, data: str) -> None:
        if not self._silent:
            self.words.append(data)


class Page:
    """One answered page."""

    def __init__(self, url: str, html: str) -> None:
        reader = _Reader()
        reader.feed(html)
        self.url, self.html = url, html
        self.forms, self.links = reader.forms, reader.links
        self.text = " ".join("".join(reader.words).split())

    def form(self, action_part: str) -> Form:
        """The first form whose action contains ``action_part``. Raises ``LookupError``."""
        for form in self.forms:
            if action_part in form.action:
                return form
        raise LookupError(f"no form “{action_part}” on {self.url}")

    def link(self, part: str) -> str:
        """The first link whose address contains ``part``. Raises ``LookupError``."""
        for link in self.links:
            if part in link:
                return link
        raise LookupError(f"no link “{part}” on {self.url}")


class Visitor:
    """Signed in as ``username``; every call goes over HTTP to ``web_url``."""

    def __init__(self, web_url: str, username: str, password: str) -> None:
        self.web_url = web_url
        self.username = username
        self.session = requests.Session()
        self.session.trust_env = False
        login = self.open("/accounts/login/")
        form = next(form for form in login.forms if "password" in form.fields)
        landed = self.submit(login, form, login=username, password=password)
        if "/accounts/login" in landed.url:
            raise Refused(403, landed.text)

    def open(self, path: str) -> Page:
        """Follow a link. Raises :class:`Refused`."""
        return self._answer(self.session.get(urljoin(self.web_url, path), timeout=30))

    def submit(self, page: Page, form: Form, **values: str) -> Page:
        """Send a form of the page with its fields, hidden ones included, and these values. Raises :class:`Refused`."""
        data = form.fields | values
        address = urljoin(page.url, form.action or page.url)
        if form.method == "get":
            return self._answer(self.session.get(address, params=data, timeout=30))
        return self._answer(self.session.post(address, data=data, headers={"Referer": page.url}, timeout=60))

    def _answer(self, response: requests.Response) -> Page:
        if response.status_code >= 400:
            raise Refused(response.status_code, response.text)
        return Page(response.url, response.text)
