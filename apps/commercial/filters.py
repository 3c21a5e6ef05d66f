"""The one filter set of engagement lists, shared by console and api."""

from __future__ import annotations

import django_filters
from django.db.models import Q, QuerySet
from django.utils.translation import gettext_lazy as _

from apps.commercial.models import BillingModel, Engagement, EngagementState


class EngagementFilter(django_filters.FilterSet):
    """``q`` looks at key, name, PO, contract and deal; the rest are exact."""

    q = django_filters.CharFilter(method="search", label=_("Search"))
    state = django_filters.MultipleChoiceFilter(choices=EngagementState.choices, label=_("State"))
    billing_model = django_filters.MultipleChoiceFilter(choices=BillingModel.choices, label=_("Billing"))
    entity = django_filters.CharFilter(field_name="legal_entity__code", label=_("Legal entity"))
    customer = django_filters.CharFilter(field_name="customer_key", label=_("Customer"))

    class Meta:
        model = Engagement
        fields = ["q", "state", "billing_model", "entity", "customer"]

    def search(self, queryset: QuerySet[Engagement], name: str, value: str) -> QuerySet[Engagement]:
        value = value.strip()
        return queryset.filter(
            Q(key__istartswith=value)
            | Q(name__icontains=value)
            | Q(po_number__iexact=value)
            | Q(contract_number__iexact=value)
            | Q(deal_key=value)
        )
