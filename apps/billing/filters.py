"""The one filter set of prebill lists, shared by console and api."""

from __future__ import annotations

import django_filters
from django.db.models import Q, QuerySet
from django.utils.translation import gettext_lazy as _

from apps.billing import selectors
from apps.billing.models import Prebill, PrebillState


class PrebillFilter(django_filters.FilterSet):
    """``q`` looks at ref, invoice number, engagement, customer and PO; ``mine`` = what waits for my approval."""

    q = django_filters.CharFilter(method="search", label=_("Search"))
    state = django_filters.MultipleChoiceFilter(choices=PrebillState.choices, label=_("State"))
    entity = django_filters.CharFilter(field_name="legal_entity__code", label=_("Legal entity"))
    currency = django_filters.CharFilter(field_name="currency", lookup_expr="iexact", label=_("Currency"))
    engagement = django_filters.CharFilter(field_name="engagement_key", label=_("Engagement"))
    mine = django_filters.BooleanFilter(method="awaiting_me", label=_("Waiting for me"))

    class Meta:
        model = Prebill
        fields = ["q", "state", "entity", "currency", "engagement", "mine"]

    def search(self, queryset: QuerySet[Prebill], name: str, value: str) -> QuerySet[Prebill]:
        value = value.strip()
        return queryset.filter(
            Q(ref__istartswith=value)
            | Q(number__iexact=value)
            | Q(engagement_key__istartswith=value)
            | Q(engagement_name__icontains=value)
            | Q(customer_name__icontains=value)
            | Q(po_number__iexact=value)
        )

    def awaiting_me(self, queryset: QuerySet[Prebill], name: str, value: bool) -> QuerySet[Prebill]:
        user = getattr(self.request, "user", None)
        if not value:
            return queryset
        if user is None or not user.is_authenticated:
            return queryset.none()
        return queryset.filter(pk__in=selectors.prebills_awaiting(user).order_by().values("pk"))
