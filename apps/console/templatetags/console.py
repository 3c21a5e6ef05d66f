"""Template tags and filters of the console.

Public surface: filters ``money``, ``moneys``, ``ago``, ``stamp``, ``due``, ``initials``, ``person_name``, ``pretty``,
``joined``, ``control``, ``flow``; tags ``badge``, ``icon``, ``keep_query``, ``money_of``, ``navigation``, ``whoami``.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from datetime import date, datetime, timedelta
from decimal import Decimal, InvalidOperation
from enum import Enum
from functools import lru_cache
from html import escape
from typing import Any

from django import template
from django.utils import formats, timezone
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString, mark_safe
from django.utils.translation import get_language, ngettext
from django.utils.translation import gettext as _
from tablericons import _render_icon

from apps.canonical.money import minor_unit_exponent
from apps.console import freshness, nav
from apps.console.states import state_label, state_tone
from apps.console.transactions.presenters import flow_label
from apps.core import clock

register = template.Library()


def _unknown() -> SafeString:
    return format_html('<span class="money money-unknown">{}</span>', _("unknown"))


def _parts(value: Any) -> tuple[Any, str] | None:
    if value is None or value == "":
        return None
    if isinstance(value, Mapping):
        return value.get("amount"), str(value.get("currency") or "")
    if isinstance(value, (tuple, list)) and len(value) == 2:
        return value[0], str(value[1] or "")
    if hasattr(value, "amount") and hasattr(value, "currency"):
        return value.amount, str(value.currency or "")
    return None


@lru_cache(maxsize=64)
def _separators(language: str) -> tuple[str, str] | None:
    """What stands before the decimals and between thousands in a language; None where it does not group by thousands."""
    if formats.get_format("NUMBER_GROUPING", language) != 3:
        return None
    return formats.get_format("DECIMAL_SEPARATOR", language), formats.get_format(
        "THOUSAND_SEPARATOR", language
    )


def _written_number(number: Decimal, decimals: int) -> tuple[str, str]:
    """The whole and, with its separator, the fraction; as ``formats.number_format`` does, which asks for formats each time."""
    separators = _separators(get_language() or "")
    if separators is None:
        text = formats.number_format(number, decimals, use_l10n=True, force_grouping=True)
        return (text[: -decimals - 1], text[-decimals - 1 :]) if decimals else (text, "")
    point, comma = separators
    whole, _point, part = f"{number:,.{decimals}f}".partition(".")
    return whole.replace(",", comma), f"{point}{part}" if decimals else ""


def render_money(amount: Any, currency: str) -> SafeString:
    """``EUR 72,300.00`` with the decimals of ISO 4217; a missing amount or currency is "unknown", never zero.

    A price with more decimals than its currency (a rate of 195.1250) shows them all: nothing is rounded away on a screen.
    """
    try:
        number = Decimal(str(amount))
        exponent = minor_unit_exponent(currency)
    except (InvalidOperation, KeyError):
        return _unknown()
    if not number.is_finite():
        return _unknown()
    written = f"{number:f}".partition(".")[2].rstrip("0")
    decimals = max(exponent, len(written))
    major, minor = _written_number(number, decimals)
    negative = " money-neg" if number < 0 else ""
    return SafeString(
        f'<span class="money{negative}"><span class="cur">{escape(currency)}</span> {escape(major.replace("-", "−"))}'
        f'<span class="minor">{escape(minor)}</span></span>'
    )


@register.filter
def money(value: Any) -> SafeString:
    """A ``Money``, ``{"amount", "currency"}`` or ``(amount, currency)``."""
    parts = _parts(value)
    return _unknown() if parts is None else render_money(*parts)


@register.simple_tag
def money_of(amount: Any, currency: str) -> SafeString:
    """``{% money_of line.amount line.currency %}``."""
    return render_money(amount, currency)


@register.filter
def moneys(values: Any) -> SafeString:
    """One line per currency: sums in different currencies are never added. Nothing known is a dash."""
    if isinstance(values, Mapping):
        values = [(amount, currency) for currency, amount in sorted(values.items())]
    lines = [(money(value),) for value in (values or [])]
    if not lines:
        return format_html('<span class="soft" aria-label="{}">–</span>', _("none"))
    return format_html('<span class="stack">{}</span>', format_html_join("", "{}", lines))


class _Says(Enum):
    AGO, AHEAD, OVERDUE, DUE = range(4)


@lru_cache(maxsize=4096)
def _sentence(says: _Says, size: int, count: int, language: str) -> str:
    """``count`` units of ``size`` seconds in words. A page has few different ones, and asks the translations of each often."""
    if size == 86400:
        distance = ngettext("%(count)d day", "%(count)d days", count) % {"count": count}
    elif size == 3600:
        distance = _("%(count)d h") % {"count": count}
    elif size == 60:
        distance = _("%(count)d min") % {"count": count}
    else:
        distance = _("moments")
    if says is _Says.AGO:
        return _("just now") if size == 1 else _("%(distance)s ago") % {"distance": distance}
    if says is _Says.AHEAD:
        return _("in %(distance)s") % {"distance": distance}
    if says is _Says.OVERDUE:
        return _("%(distance)s overdue") % {"distance": distance}
    return _("due in %(distance)s") % {"distance": distance}


@lru_cache(maxsize=4096)
def _written(local: datetime, zone: str, language: str) -> str:
    """Deadlines are few and stand in many rows. Without its zone in it: equal instants of two zones are equal to a cache."""
    return f"{formats.date_format(local, 'D j M Y H:i')} {zone}".strip()


class Moments:
    """Times as a reader sees them now. A long list makes one for all of its rows: the clock, and the reader's zone and
    language, are asked once."""

    def __init__(self) -> None:
        self._now = clock.now()
        self._zone = timezone.get_current_timezone()
        self._language = get_language() or ""

    def ago(self, when: datetime | None) -> SafeString:
        if not when:
            return format_html('<span class="soft">{}</span>', _("never"))
        delta = self._now - when
        return self._time(when, _Says.AGO if delta >= timedelta() else _Says.AHEAD, delta)

    def due(self, when: datetime | None) -> SafeString:
        if not when:
            return format_html('<span class="soft">{}</span>', _("no deadline"))
        delta = when - self._now
        if delta < timedelta():
            return self._time(when, _Says.OVERDUE, delta, ' class="late"')
        return self._time(
            when, _Says.DUE, delta, ' class="soon"' if delta < timedelta(days=1) else ' class=""'
        )

    def absolute(self, when: datetime) -> str:
        local = when.astimezone(self._zone)
        return _written(local.replace(tzinfo=None), local.tzname() or "", self._language)

    def _time(self, when: datetime, says: _Says, delta: timedelta, css: str = "") -> SafeString:
        """``css`` is ours; the rest is escaped."""
        seconds = int(abs(delta.total_seconds()))
        size = 86400 if seconds >= 86400 else 3600 if seconds >= 3600 else 60 if seconds >= 60 else 1
        text = _sentence(says, size, 0 if size == 1 else seconds // size, self._language)
        title = escape(self.absolute(when))
        return SafeString(f'<time{css} datetime="{when.isoformat()}" title="{title}">{escape(text)}</time>')


@register.filter
def ago(when: datetime | None) -> SafeString:
    """Relative time with the absolute one, in the person's zone, on hover."""
    return Moments().ago(when)


@register.filter
def stamp(when: datetime | date | None) -> SafeString:
    """Absolute time in the person's zone; the zone itself on hover."""
    if not when:
        return format_html('<span class="soft">–</span>')
    if not isinstance(when, datetime):
        return format_html(
            '<time datetime="{}" class="nowrap">{}</time>',
            when.isoformat(),
            formats.date_format(when, "j M Y"),
        )
    local = timezone.localtime(when)
    text = formats.date_format(local, "j M Y H:i")
    return format_html(
        '<time datetime="{}" title="{}" class="nowrap">{}</time>',
        when.isoformat(),
        Moments().absolute(when),
        text,
    )


@register.filter
def due(when: datetime | None) -> SafeString:
    """A deadline: overdue is said in words, within a day is marked."""
    return Moments().due(when)


@register.simple_tag
def badge(state: Any, label: str = "", tone: str = "") -> SafeString:
    """A state with its word and tone: ``{% badge case.state %}``."""
    return format_html(
        '<span class="pill pill-{}">{}</span>', tone or state_tone(state), label or state_label(state)
    )


@lru_cache(maxsize=256)
def _icon(name: str, css: str, title: str) -> SafeString:
    accessible = {"role": "img", "aria_label": title} if title else {"aria_hidden": "true"}
    svg = _render_icon(
        f"outline/{name}", None, focusable="false", **{"class": f"icon {css}".strip()}, **accessible
    )
    return mark_safe(svg)  # noqa: S308 - drawn from the icon package; every attribute is ours and escaped by ElementTree


@register.simple_tag
def icon(name: str, css: str = "", title: str = "") -> SafeString:
    """Inline SVG; decorative unless a ``title`` is given."""
    return _icon(name, css, str(title))


@register.simple_tag(takes_context=True)
def keep_query(context: template.Context, **changes: Any) -> str:
    """The present query string with changes (``None`` or "" removes a key); a lone "?" clears it, so that a link never
    keeps a stale one. A changed filter always starts at the first page."""
    request = context.get("request")
    query = request.GET.copy() if request is not None else None
    if query is None:
        return "?"
    query.pop(freshness.PARAMETER, None)
    if "page" not in changes:
        query.pop("page", None)
    for key, value in changes.items():
        if value is None or value == "":
            query.pop(key, None)
        else:
            query[key] = str(value)
    return f"?{query.urlencode()}"


@register.simple_tag(takes_context=True)
def navigation(context: template.Context) -> list[nav.Group]:
    """Groups of links that this person may open."""
    request = context.get("request")
    return nav.groups_for(request) if request is not None else []


@register.filter
def initials(person: Any) -> str:
    """Two letters of a person's name or address."""
    name = person_name(person)
    words = [word for word in name.replace("@", " ").replace(".", " ").split() if word[:1].isalnum()]
    return "".join(word[0] for word in words[:2]).upper() or "–"


@register.filter
def person_name(person: Any) -> str:
    """Full name, else e-mail, else log-in name; nobody is "the system"."""
    if not person:
        return _("the system")
    if isinstance(person, str):
        return person
    return name_of(person.get_full_name(), getattr(person, "email", ""), person.get_username())


def name_of(full_name: str, email: str, username: str) -> str:
    """How a person is called on a screen."""
    return (full_name or email or username).strip()


@register.filter
def pretty(value: Any) -> str:
    """JSON for reading (escaped by the template as any text is)."""
    if value in (None, "", {}, []):
        return ""
    if isinstance(value, str):
        return value
    return json.dumps(value, indent=2, ensure_ascii=False, sort_keys=True, default=str)


@register.filter
def joined(values: Iterable[Any] | None, separator: str = ", ") -> str:
    """Values in one line of text."""
    return separator.join(str(value) for value in (values or []) if value not in (None, ""))


@register.filter
def control(field: Any) -> SafeString:
    """A form field's widget in our look, tied to its hint and its errors."""
    css = "form-select" if field.widget_type in {"select", "nullbooleanselect"} else "form-control"
    described = [f"{field.auto_id}_helptext"] if field.help_text else []
    attrs = {
        "class": css,
        "aria-describedby": " ".join(described) or None,
        "aria-invalid": "true" if field.errors else None,
    }
    return field.as_widget(attrs={name: value for name, value in attrs.items() if value})


@register.simple_tag(takes_context=True)
def whoami(context: template.Context) -> nav.Person:
    """Name, roles and entities of the signed-in person, for the top bar."""
    return nav.person_of(context["request"])


@register.filter
def flow(name: str) -> str:
    """A flow in the words of the desk."""
    return flow_label(name)


@register.filter
def plain(value: Decimal | int | None) -> str:
    """A quantity without trailing zeros: 7.5, not 7.5000; grouped as the language does."""
    if value is None:
        return "–"
    text = f"{Decimal(value).normalize():f}"
    decimals = len(text.partition(".")[2])
    return formats.number_format(value, decimals, use_l10n=True, force_grouping=True)


@register.filter
def state_words(state: str) -> str:
    """A machine word as people say it."""
    return state_label(state)


@register.filter
def seconds(value: float | None) -> str:
    """A duration: 0.4 s, 12 s, 3 min; nothing measured is a dash."""
    if value is None:
        return "–"
    if value < 10:
        return _("%(n)s s") % {"n": formats.number_format(value, 1)}
    if value < 120:
        return _("%(n)d s") % {"n": round(value)}
    return _("%(n)d min") % {"n": round(value / 60)}
