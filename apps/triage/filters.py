"""Filters of the exceptions lists, shared by console and api.

Public surface: :class:`CaseFilter` (a list of cases) and :class:`GroupFilter` (the same questions for the grouped list:
filter the cases first, then hand ``qs`` to :func:`apps.triage.selectors.groups` with ``order``).
"""

from __future__ import annotations

import uuid
from decimal import Decimal

import django_filters
from django.contrib.postgres.search import SearchQuery
from django.db.models import F, Q, QuerySet
from django.utils.translation import gettext_lazy as _

from apps.organization.permissions import Role
from apps.sync import selectors as sync
from apps.triage import selectors
from apps.triage.catalogue import CATALOGUE, Severity, codes_for_role
from apps.triage.models import CLOSED_STATES, OPEN_STATES, SEARCH, Case, CaseState

STATES = [
    ("open_all", _("Open")),
    ("closed_all", _("Closed")),
    ("snoozed", _("Snoozed")),
    *CaseState.choices,
]
ORDERS = [("money", _("Billing held")), ("due", _("Deadline")), ("age", _("Oldest first"))]
ASSIGNEES = [("me", _("Me")), ("nobody", _("Nobody")), ("escalated", _("Nobody, and escalated"))]


def states_of(choice: str) -> tuple[str, ...]:
    """The states that a choice of the console's list means: nothing chosen are the open ones, ``any`` is (), all."""
    groups: dict[str, tuple[str, ...]] = {
        "": OPEN_STATES,
        "open_all": OPEN_STATES,
        "closed_all": CLOSED_STATES,
        "snoozed": OPEN_STATES,
        "any": (),
    }
    return groups.get(choice, (choice,))


class CaseFilter(django_filters.FilterSet):
    """``q``: reference, transaction, engagement, a business key as its system shows it, correlation id, or the beginnings of
    words of the sentence."""

    q = django_filters.CharFilter(method="search", label=_("Search"))
    state = django_filters.ChoiceFilter(choices=STATES, method="by_state", label=_("State"))
    code = django_filters.CharFilter(field_name="code", lookup_expr="iexact", label=_("Code"))
    severity = django_filters.ChoiceFilter(choices=Severity.choices, label=_("Stops"))
    entity = django_filters.CharFilter(field_name="legal_entity__code", label=_("Legal entity"))
    role = django_filters.ChoiceFilter(choices=Role.choices, method="by_role", label=_("Who must act"))
    assignee = django_filters.CharFilter(method="by_assignee", label=_("Assigned to"))
    group = django_filters.NumberFilter(method="by_group", label=_("Group"))
    age = django_filters.ChoiceFilter(choices=selectors.AGES, method="by_age", label=_("Age"))
    order = django_filters.ChoiceFilter(choices=ORDERS, method="by_order", label=_("Order"))

    class Meta:
        model = Case
        fields = ["q", "state", "code", "severity", "entity", "role", "assignee", "group", "age", "order"]

    def search(self, queryset: QuerySet[Case], name: str, value: str) -> QuerySet[Case]:
        text = value.strip()
        try:
            return queryset.filter(correlation_id=uuid.UUID(text))
        except ValueError:
            pass
        upper = text.upper()
        exact = Q(ref=upper) | Q(transaction_id__in=sync.ids_of(upper)) | Q(engagement_key=upper)
        for _id, kind, key in sync.subjects_named(text):
            exact |= Q(subject_kind=kind, subject_key=key)
        if text.isdecimal():
            exact |= Q(ref=f"EX-{text}")
        # Quoted, so that PostgreSQL takes a word apart as it did when it indexed it ("AIR-510" is "air" and "-510").
        parts = filter(None, (word.replace("\\", "").replace("'", "''") for word in text.split()))
        words = [f"'{part}':*" for part in parts]
        if not words:
            return queryset.filter(exact)
        prefixes = SearchQuery(" & ".join(words), search_type="raw", config="simple")
        return queryset.annotate(words=SEARCH).filter(exact | Q(words=prefixes))

    def by_state(self, queryset: QuerySet[Case], name: str, value: str) -> QuerySet[Case]:
        if value == "open_all":
            return queryset.filter(state__in=OPEN_STATES)
        if value == "closed_all":
            return queryset.filter(state__in=CLOSED_STATES)
        if value == "snoozed":
            return selectors.snoozed(queryset)
        return queryset.filter(state=value)

    def by_role(self, queryset: QuerySet[Case], name: str, value: str) -> QuerySet[Case]:
        codes, takes_unknown = codes_for_role(value)
        wanted = Q(code__in=codes)
        if takes_unknown:
            wanted |= ~Q(code__in=list(CATALOGUE))
        return queryset.filter(wanted)

    def by_assignee(self, queryset: QuerySet[Case], name: str, value: str) -> QuerySet[Case]:
        """``me``, ``nobody``, ``escalated`` (nobody in spite of it), ``role:`` and a role for its queue, or a user name."""
        if value == "escalated":
            return queryset.filter(assignee__isnull=True, escalated_at__isnull=False)
        if value == "nobody":
            return queryset.filter(assignee__isnull=True)
        if value == "me":
            user = getattr(self.request, "user", None)
            return queryset.filter(assignee=user) if user and user.is_authenticated else queryset.none()
        if value.startswith("role:"):
            return queryset.filter(queue=value.removeprefix("role:")).exclude(queue="")
        return queryset.filter(assignee__username=value)

    def by_group(self, queryset: QuerySet[Case], name: str, value: Decimal) -> QuerySet[Case]:
        """The cases of a group and of what was merged into it."""
        return queryset.filter(group_id__in=selectors.group_ids(int(value)))

    def by_age(self, queryset: QuerySet[Case], name: str, value: str) -> QuerySet[Case]:
        return selectors.of_age(queryset, value)

    def by_order(self, queryset: QuerySet[Case], name: str, value: str) -> QuerySet[Case]:
        if value == "money":
            worth = selectors.in_reporting(selectors.reporting_rates(queryset))
            return queryset.annotate(worth=worth).order_by(F("worth").desc(nulls_last=True), "id")
        if value == "age":
            return queryset.order_by("opened_at", "id")
        return queryset.order_by(F("due_at").asc(nulls_last=True), "id")


class GroupFilter(CaseFilter):
    """For the grouped list: open cases unless a state is asked for; the order is left to the groups."""

    def filter_queryset(self, queryset: QuerySet[Case]) -> QuerySet[Case]:
        found = super().filter_queryset(queryset)
        return found if self.form.cleaned_data.get("state") else found.filter(state__in=OPEN_STATES)

    def by_order(self, queryset: QuerySet[Case], name: str, value: str) -> QuerySet[Case]:
        return queryset

    @property
    def order_value(self) -> str:
        """What :func:`apps.triage.selectors.groups` takes as ``order``."""
        return (self.form.cleaned_data.get("order") if self.form.is_valid() else "") or "money"
