"""The edges of ``/api/``: unknown addresses, the schema, and failures that nobody expected."""

from __future__ import annotations

import pytest
from rest_framework.test import APIRequestFactory
from rest_framework.views import APIView

from apps.core import errors
from tests.people import stranger


@pytest.mark.parametrize("path", ["/api/", "/api/v1/", "/api/v2/deals/validate", "/api/nothing"])
@pytest.mark.parametrize("method", ["get", "post"])
def test_an_unknown_address_is_a_problem_document(client, path, method):
    response = getattr(client, method)(path)
    assert response.status_code == 404
    assert response["Content-Type"] == "application/problem+json"


def test_the_schema_describes_validation_with_its_key_and_problems(client):
    response = client.get("/api/schema", headers={"Accept": "application/vnd.oai.openapi+json"})
    assert response.status_code == 200
    schema = response.json() if "json" in response["Content-Type"] else None
    assert schema is not None
    operation = schema["paths"]["/api/v1/deals/validate"]["post"]
    assert operation["security"] == [{"apiKey": []}]
    assert {"200", "400", "401", "403", "404", "413", "415", "429", "503"} <= set(operation["responses"])
    assert "application/problem+json" in operation["responses"]["400"]["content"]


@pytest.mark.django_db
def test_in_production_the_schema_is_for_staff_only(client, settings):
    settings.PRODUCTION = True
    assert client.get("/api/schema").status_code == 403
    user = stranger()
    client.force_login(user)
    assert client.get("/api/schema").status_code == 403
    user.is_staff = True
    user.save()
    assert client.get("/api/schema").status_code == 200


@pytest.mark.parametrize(
    ("error", "status", "member"),
    [
        (errors.InvalidInput("No.", fields={"a": "wrong"}), 400, ("errors", {"a": "wrong"})),
        (errors.NotAllowed("No.", who="Carla"), 403, ("who", "Carla")),
        (errors.NotFound("No."), 404, ("detail", "No.")),
        (errors.WrongState("No.", code="DEAL-X"), 409, ("code", "DEAL-X")),
        (errors.Stale("No."), 409, ("type", "urn:pssync:problem:stale")),
        (errors.TooLarge("No."), 413, ("title", "Too large")),
        (errors.Unavailable("No."), 503, ("status", 503)),
    ],
)
def test_every_application_error_maps_to_its_status(error, status, member):
    response = _raise(error)
    assert response.status_code == status
    assert _document(response)[member[0]] == member[1]


def test_an_unforeseen_failure_is_a_500_that_tells_nothing():
    response = _raise(RuntimeError("password=hunter2"))
    assert response.status_code == 500
    assert b"hunter2" not in response.content
    assert _document(response)["type"] == "urn:pssync:problem:error"


def _raise(error: Exception):
    class Failing(APIView):
        authentication_classes = ()
        permission_classes = ()

        def get(self, request):
            raise error

    return Failing.as_view()(APIRequestFactory().get("/"))


def _document(response) -> dict:
    import json

    assert response["Content-Type"] == "application/problem+json"
    return json.loads(response.content)
