"""The rows of the longest lists, written in Python: a template's nodes cost several times what the queries of a page do.

Public surface: tags ``transaction_rows``, ``case_rows``, ``options``.

Every text that is not ours goes through ``escape``; times, money and badges are those of
:mod:`apps.console.templatetags.console`. Python's ``escape`` is the one that Django's calls; called for each value of a long
list, Django's detour through lazy texts costs more than the escaping.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from html import escape
from typing import Any
from urllib.parse import quote

from django import template
from django.urls import reverse
from django.utils.safestring import SafeString, mark_safe
from django.utils.text import Truncator
from django.utils.translation import gettext as _

from apps.console.templatetags.console import Moments, badge, keep_query, name_of, render_money
from apps.console.transactions.presenters import flow_label
from apps.organization.permissions import Role
from apps.triage import selectors as triage
from apps.triage.states import place_of

register = template.Library()


def _addresses(name: str) -> Callable[[str], str]:
    """Addresses of the objects of one screen; resolved once a list, since only the reference differs."""
    before, after = reverse(name, args=["REF"]).split("REF")
    return lambda ref: f"{before}{quote(ref)}{after}"


def _short(text: str, most: int) -> str:
    return escape(text if len(text) <= most else Truncator(text).chars(most))


@register.simple_tag
def options(choices: Iterable[tuple[Any, Any]], chosen: Any = "") -> SafeString:
    """``<option>`` of each ``(value, label)``; the one that is ``chosen`` is selected."""
    written = []
    for value, label in choices:
        selected = " selected" if value == chosen else ""
        written.append(f'<option value="{escape(str(value))}"{selected}>{escape(str(label))}</option>')
    return mark_safe("".join(written))  # noqa: S308 - both texts were escaped above


def _assignee(row: Any) -> str:
    full_name = f"{row.assignee__first_name} {row.assignee__last_name}".strip()
    return name_of(full_name, row.assignee__email, row.assignee__username)


@register.simple_tag
def transaction_rows(rows: Iterable[Any]) -> SafeString:
    """``<tr>`` of each transaction (``sync.selectors.listed``), under the head that the template writes."""
    address, moments = _addresses("console:transaction"), Moments()
    flow, state, entity = escape(_("Flow")), escape(_("State")), escape(_("Entity"))
    value, attempts, started = escape(_("Value")), escape(_("Attempts")), escape(_("Started"))
    states: dict[str, str] = {}
    flows: dict[str, str] = {}
    written = []
    for row in rows:
        ref = escape(row.ref)
        if row.state not in states:
            states[row.state] = badge(row.state)
        if row.flow not in flows:
            flows[row.flow] = escape(flow_label(row.flow))
        more = _short(row.reason, 120) if row.reason else escape(row.customer)
        soft = f'<span class="soft">{more}</span>' if more else ""
        code = escape(row.legal_entity__code) if row.legal_entity__code else "–"
        money = (
            '<span class="soft">–</span>' if row.amount is None else render_money(row.amount, row.currency)
        )
        written.append(
            f'<tr data-row="{ref}"><td><a class="row-link ref" href="{address(row.ref)}">{ref}</a></td>'
            f'<td><div class="stack"><span>{escape(row.label or row.subject__key)}</span>{soft}</div></td>'
            f'<td data-label="{flow}">{flows[row.flow]}</td>'
            f'<td data-label="{state}">{states[row.state]}</td>'
            f'<td class="nowrap" data-label="{entity}">{code}</td>'
            f'<td class="num" data-label="{value}">{money}</td>'
            f'<td class="num hide-phone" data-label="{attempts}">{row.attempts}</td>'
            f'<td class="num" data-label="{started}">{moments.ago(row.created_at)}</td></tr>'
        )
    return mark_safe("\n".join(written))  # noqa: S308 - every text was escaped above


def choice_box(row: Any, sentence: str) -> str:
    """The box that chooses a row for the form of several cases; it says where the case stood as shown (``Case.seen``).
    ``sentence`` is its name with ``%(ref)s``, translated once a list."""
    ref = escape(row.ref)
    named = escape(sentence % {"ref": row.ref})
    seen = escape(place_of(row))
    return (
        f'<input class="form-check-input row-choice" type="checkbox" name="case" value="{ref}~{seen}" form="bulk"'
        f' aria-label="{named}">'
    )


def _extra(row: Any, names: Iterable[str], moments: Moments) -> str:
    """The columns that the reader has added; what is empty is left out."""
    parts = []
    for name in names:
        value = getattr(row, name)
        if name == "opened_at":
            parts.append(f"<span>{escape(_('opened'))} {moments.ago(value)}</span>")
        elif value:
            parts.append(f'<span class="{"" if name == "customer_name" else "ref"}">{escape(value)}</span>')
    return "".join(parts)


def _queue(role: str) -> str:
    """The queue of a role in words."""
    return _("Queue: %(role)s") % {"role": Role(role).label if role in Role.values else role}


@register.simple_tag(takes_context=True)
def case_rows(context: template.Context, board: Any, current: str = "") -> SafeString:
    """``<li>`` of each case of the board (``triage.selectors.listed``); the one whose reference is ``current`` is marked."""
    address, moments = _addresses("console:case"), Moments()
    query = escape(keep_query(context, tab=None, page=context["request"].GET.get("page")))
    states: dict[str, str] = {}
    nobody, unknown, choose = escape(_("nobody yet")), escape(_("unknown")), _("Choose %(ref)s")
    written = []
    for row in board.cases:
        ref, link = escape(row.ref), f"{address(row.ref)}{query}"
        if row.state not in states:
            states[row.state] = badge(row.state, triage.state_words(row.state))
        told = _short(row.reason, 110) if not board.group else escape(row.customer_name)
        about = f"<span>{told}</span>" if told else ""
        is_open = row.state in triage.OPEN_STATES
        entity = f"<span>{escape(row.legal_entity__code)}</span>" if row.legal_entity__code else ""
        who = escape(_assignee(row)) if row.assignee__username else nobody if is_open else ""
        if is_open and not row.assignee__username:
            who = escape(_queue(row.queue)) if row.queue else who
            who += str(badge("", _("Escalated"), "bad")) if row.escalated_at else ""
        held = (
            render_money(row.held_amount, row.currency)
            if row.currency
            else f'<span class="money-unknown">{unknown}</span>'
        )
        when = (
            f"<span>{moments.due(row.due_at)}</span>"
            if is_open
            else f'<span class="soft">{moments.ago(row.resolved_at)}</span>'
        )
        choice = choice_box(row, choose) if board.choosing else ""
        more = _extra(row, board.extra, moments) if board.extra else ""
        stands = states[row.state] + (badge(row.stance) if row.stance and is_open else "")
        css, here = (" is-current", ' aria-current="true"') if current == row.ref else ("", "")
        written.append(
            f'<li class="row-item{css}" data-row="{ref}">{choice}'
            f'<a href="{link}" hx-get="{link}" hx-target="#detail" hx-push-url="true"{here}>'
            f'<span class="reason">{escape(row.label or row.subject_key)}</span><span class="meta">{about}</span>'
            f'<span class="meta">{stands}<span class="ref">{ref}</span>{entity}<span>{who}</span>{more}</span>'
            f'<span class="aside"><span class="strong">{held}</span>{when}</span></a></li>'
        )
    return mark_safe("\n".join(written))  # noqa: S308 - every text was escaped above
