"""Filters of the transaction list, shared by console and api."""

from __future__ import annotations

import uuid

import django_filters
from django.db.models import Q, QuerySet

from apps.sync import selectors
from apps.sync.flows.names import PRIORITIES
from apps.sync.models import STATE_GROUPS, State, Transaction

GROUPS = [("open", "Open"), ("attention", "Needs a person"), *State.choices]


class TransactionFilter(django_filters.FilterSet):
    """``q``: reference, business key, engagement, label prefix or correlation id."""

    q = django_filters.CharFilter(method="search", label="Search")
    state = django_filters.ChoiceFilter(choices=GROUPS, method="by_state", label="State")
    flow = django_filters.ChoiceFilter(choices=[(name, name) for name in PRIORITIES], label="Flow")

    class Meta:
        model = Transaction
        fields = ["q", "state", "flow", "legal_entity"]

    def search(self, queryset: QuerySet, name: str, value: str) -> QuerySet:
        text = value.strip()
        try:
            return queryset.filter(correlation_id=uuid.UUID(text))
        except ValueError:
            pass
        # Each part is a range of one index; an OR over a join or over iexact would read the whole table.
        subjects = [subject_id for subject_id, _kind, _key in selectors.subjects_named(text)]
        return queryset.filter(
            Q(ref=text.upper())
            | Q(engagement_key=text.upper())
            | Q(subject_id__in=subjects)
            | Q(label__istartswith=text)
            | Q(customer__istartswith=text)
        )

    def by_state(self, queryset: QuerySet, name: str, value: str) -> QuerySet:
        return queryset.filter(state__in=STATE_GROUPS.get(value, (value,)))
