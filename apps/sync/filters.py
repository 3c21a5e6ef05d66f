"""Filters of the transaction list, shared by console and api."""

from __future__ import annotations

import uuid

import django_filters
from django.db.models import Q, QuerySet
from django.db.models.functions import Reverse

from apps.sync.flows.names import PRIORITIES
from apps.sync.models import STATE_GROUPS, State, Subject, Transaction

GROUPS = [("open", "Open"), ("attention", "Needs a person"), *State.choices]

#: The same key in that many systems at most.
MOST_SUBJECTS = 50


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
        subjects = list(_subjects(text)[:MOST_SUBJECTS])
        return queryset.filter(
            Q(ref=text.upper())
            | Q(engagement_key=text.upper())
            | Q(subject_id__in=subjects)
            | Q(label__istartswith=text)
            | Q(customer__istartswith=text)
        )

    def by_state(self, queryset: QuerySet, name: str, value: str) -> QuerySet:
        return queryset.filter(state__in=STATE_GROUPS.get(value, (value,)))


def _subjects(text: str) -> QuerySet[Subject, int]:
    """Ids of subjects whose key is the text, or ends with it after a colon."""
    rows = Subject.objects.annotate(backwards=Reverse("key"))
    found = Q(backwards=text[::-1]) | Q(backwards__startswith=f"{text[::-1]}:")
    return rows.filter(found).order_by("id").values_list("id", flat=True)
