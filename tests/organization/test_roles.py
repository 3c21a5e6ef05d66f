"""Roles are given and taken with a trace, and some are never one person's together."""

from __future__ import annotations

import pytest

from apps.core.errors import InvalidInput
from apps.journal import selectors as journal
from apps.organization import services
from apps.organization.errors import RoleConflict
from apps.organization.models import Grant, User
from apps.organization.permissions import CONFLICTS, Role
from tests.journal.together import outcomes, together
from tests.people import PASSWORD, hire, stranger


@pytest.mark.django_db
@pytest.mark.parametrize(("first", "second"), [(a, b) for a, b, _why in CONFLICTS])
def test_conflicting_roles_are_refused_in_both_orders(first, second):
    for number, (held, wanted) in enumerate([(first, second), (second, first)]):
        user = services.user_create(username=f"u{number}")
        services.role_grant(user=user, role=held)
        with pytest.raises(RoleConflict, match="cannot be combined"):
            services.role_grant(user=user, role=wanted)
        assert [grant.role for grant in user.grants.all()] == [held]


@pytest.mark.django_db
def test_a_conflict_in_another_entity_is_a_conflict_still():
    uk = services.entity_set(code="MER-UK", name="UK", country="GB", currency="GBP")
    user = hire("ada")
    with pytest.raises(RoleConflict):
        services.role_grant(user=user, role=Role.CONTROLLER, legal_entity=uk)


@pytest.mark.django_db
def test_roles_that_go_together_are_given_and_giving_twice_is_once():
    user = hire("carla")
    services.role_grant(user=user, role=Role.CFO)
    services.role_grant(user=user, role=Role.CFO)
    assert sorted(user.grants.values_list("role", flat=True)) == ["cfo", "controller"]


@pytest.mark.django_db
def test_nobody_grants_a_role_to_themselves():
    ada = hire("ada")
    with pytest.raises(RoleConflict):
        services.role_grant(user=ada, role=Role.TAX, by=ada)


@pytest.mark.django_db
def test_an_unknown_role_is_refused():
    with pytest.raises(InvalidInput):
        services.role_grant(user=stranger(), role="emperor")


@pytest.mark.django_db
def test_giving_and_taking_leave_who_and_why():
    ada, user = hire("ada"), stranger()
    grant = services.role_grant(user=user, role=Role.TAX, by=ada, why="covers for Tilda")
    assert services.role_revoke(grant=grant, by=ada, why="Tilda is back") is True
    assert services.role_revoke(grant=grant, by=ada) is False
    taken, given, _created = journal.history("user", "sam")
    assert (given.verb, given.actor, given.why, given.new["role"]) == (
        "role.granted",
        "ada",
        "covers for Tilda",
        "tax",
    )
    assert (taken.verb, taken.why, taken.old["role"]) == ("role.revoked", "Tilda is back", "tax")


@pytest.mark.django_db
def test_row_history_keeps_a_grant_that_was_taken_back():
    grant = services.role_grant(user=stranger(), role=Role.TAX)
    services.role_revoke(grant=grant)
    events = Grant.pgh_event_model.objects.order_by("pgh_id")
    assert [(event.pgh_label, event.role) for event in events] == [("insert", "tax"), ("delete", "tax")]


def test_two_halves_of_a_conflict_given_at_once_do_not_both_get_in(process_database):
    user = services.user_create(username="sam")

    def give(role):
        return lambda: services.role_grant(user=User.objects.get(pk=user.pk), role=role).role

    results = together(give(Role.ADMIN), give(Role.CFO), give(Role.ADMIN), give(Role.CFO))
    assert outcomes(results)["RoleConflict"] == 2
    assert user.grants.count() == 1


@pytest.mark.django_db
def test_two_people_never_share_an_address_in_any_case():
    services.user_create(username="a", email="A@merridane.example")
    with pytest.raises(InvalidInput):
        services.user_create(username="b", email="a@MERRIDANE.example")


@pytest.mark.django_db
def test_a_weak_password_is_refused_and_without_one_nobody_logs_in(client):
    with pytest.raises(InvalidInput):
        services.user_create(username="a", password="password")
    user = services.user_create(username="b")
    assert not user.has_usable_password()
    assert services.user_create(username="c", password=PASSWORD).check_password(PASSWORD)
