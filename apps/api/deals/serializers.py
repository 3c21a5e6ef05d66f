"""What the deal API takes and gives. Public surface: :class:`DealValidateRequest`, :class:`DealValidateAnswer`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.utils.translation import gettext as _
from pydantic import ValidationError
from rest_framework import serializers

from apps.canonical.objects import Deal


class DealValidateRequest(serializers.Serializer):
    """A deal by its id in the CRM, or the canonical deal itself; unknown fields are refused."""

    system = serializers.SlugField(max_length=40, help_text="Code of the CRM, e.g. crm.")
    deal_id = serializers.RegexField(
        r"^[A-Za-z0-9_-]{1,64}\Z", required=False, help_text="The deal's id in the CRM, e.g. 006…"
    )
    deal = serializers.DictField(required=False, help_text="A canonical deal (docs/schemas/deal.v1.json).")

    def to_internal_value(self, data: Any) -> dict[str, Any]:
        if isinstance(data, Mapping):
            unknown = sorted(str(name)[:80] for name in set(data) - set(self.fields))
            if unknown:
                raise serializers.ValidationError({name: [_("This field is not known.")] for name in unknown})
        return super().to_internal_value(data)

    def validate_deal(self, value: dict[str, Any]) -> Deal:
        try:
            return Deal.model_validate(value)
        except ValidationError as error:
            problems = {
                ".".join(str(part) for part in found["loc"]) or "deal": [found["msg"]]
                for found in error.errors(include_url=False, include_context=False, include_input=False)
            }
            raise serializers.ValidationError(problems) from error

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if ("deal_id" in attrs) == ("deal" in attrs):
            raise serializers.ValidationError({"deal_id": [_("Send either deal_id or deal.")]})
        return attrs


class PlannedAction(serializers.Serializer):
    name = serializers.CharField()
    kind = serializers.CharField()
    system = serializers.CharField(allow_blank=True)
    object_type = serializers.CharField()
    operation = serializers.CharField(allow_blank=True)
    why = serializers.CharField(allow_blank=True)


class PlanProblem(serializers.Serializer):
    code = serializers.CharField(help_text="Catalogue code, e.g. DEAL-SVC-UNMAPPED.")
    step = serializers.CharField(allow_blank=True)
    object_type = serializers.CharField()
    field = serializers.CharField(allow_blank=True)
    value = serializers.CharField(allow_blank=True)
    reason = serializers.CharField(help_text="A plain sentence.")


class DealValidateAnswer(serializers.Serializer):
    """``live`` false: the CRM did not answer in time and this is what it showed at ``as_of``."""

    ok = serializers.BooleanField(help_text="The deal would provision.")
    as_of = serializers.DateTimeField()
    live = serializers.BooleanField()
    actions = PlannedAction(many=True)
    problems = PlanProblem(many=True)
