"""Synchronous validation of a deal. Public surface: :class:`DealValidate`."""

from __future__ import annotations

from typing import Any

from django.utils.translation import gettext as _
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from apps.api.authentication import ApiKeyAuthentication, HasScope, KeyThrottle
from apps.api.deals.serializers import DealValidateAnswer, DealValidateRequest
from apps.api.parsing import BoundedJSONParser
from apps.api.schema import PROBLEM_RESPONSES
from apps.core.errors import NotAllowed
from apps.sync import services as sync

#: The CRM asks while a person waits.
DEADLINE_SECONDS = 2.0
_SHOWN = ("ok", "as_of", "live", "actions", "problems")


class DealValidate(APIView):
    """Would this deal provision? Answers with the planned actions or the problems that block it; writes nothing.

    Within two seconds the answer is live (`live: true`); past them it comes from what was last seen, with its time
    (`as_of`).
    """

    authentication_classes = (ApiKeyAuthentication,)
    permission_classes = (HasScope,)
    throttle_classes = (KeyThrottle,)
    parser_classes = (BoundedJSONParser,)
    required_scope = "deal.validate"

    @extend_schema(
        operation_id="deal_validate",
        request=DealValidateRequest,
        responses={200: DealValidateAnswer, **PROBLEM_RESPONSES},
    )
    def post(self, request: Request) -> Response:
        wanted = DealValidateRequest(data=request.data)
        wanted.is_valid(raise_exception=True)
        deal = wanted.validated_data.get("deal")
        program: Any = request.user
        entity_code = program.legal_entity_code
        if deal is not None:
            _require_entity(entity_code, deal.legal_entity_code)
        answer = sync.deal_validate(
            system_code=wanted.validated_data["system"],
            deal_id=wanted.validated_data.get("deal_id"),
            deal=deal,
            deadline_seconds=DEADLINE_SECONDS,
            only_entity=entity_code,
        )
        return Response(_shown(answer))


def _require_entity(allowed: str, asked: str) -> None:
    """A key of one legal entity asks with documents of that entity; of stored deals of another it learns nothing."""
    if allowed and asked != allowed:
        raise NotAllowed(_("This API key is for deals of %(entity)s only.") % {"entity": allowed})


def _shown(answer: dict[str, Any]) -> dict[str, Any]:
    return {name: answer[name] for name in _SHOWN}
