"""Filters of the transaction list, shared by console and api."""

from __future__ import annotations

import uuid

import django_filters
from django.db.models import Q, QuerySet

from apps.sync.flows.names import PRIORITIES
from apps.sync.models import OPEN, State, Transaction

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
        return queryset.filter(
            Q(ref__iexact=text)
            | Q(engagement_key__iexact=text)
            | Q(subject__key=text)
            | Q(subject__key__endswith=f":{text}")
            | Q(label__istartswith=text)
            | Q(customer__istartswith=text)
        )

    def by_state(self, queryset: QuerySet, name: str, value: str) -> QuerySet:
        if value == "open":
            return queryset.filter(state__in=OPEN)
        if value == "attention":
            return queryset.filter(state__in=(State.HELD, State.SUGGESTED, State.DEAD))
        return queryset.filter(state=value)
