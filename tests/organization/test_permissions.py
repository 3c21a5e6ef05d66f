"""Who may do what, and where: every role against every verb, and scopes that fail closed."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import AnonymousUser

from apps.core.errors import NotAllowed
from apps.core.scope import EVERYTHING, NOTHING
from apps.organization import selectors, services
from apps.organization.permissions import ROLE_VERBS, VERBS, Role, roles_with
from tests.people import PEOPLE, hire, stranger

pytestmark = pytest.mark.django_db


@pytest.fixture
def uk():
    return services.entity_set(code="MER-UK", name="Merridane Consulting Ltd", country="GB", currency="GBP")


@pytest.fixture
def us():
    return services.entity_set(code="MER-US", name="Merridane Inc.", country="US", currency="USD")


@pytest.mark.parametrize("username", sorted(set(PEOPLE) - {"pavel"}))
def test_a_role_gives_its_verbs_in_its_entity_and_nothing_elsewhere(uk, us, username):
    user = hire(username, uk)
    role = PEOPLE[username][2]
    for verb in VERBS:
        allowed = verb in ROLE_VERBS[role]
        assert selectors.can(user, verb, legal_entity_id=uk.pk) is allowed
        assert selectors.can(user, verb) is allowed
        assert selectors.can(user, verb, legal_entity_id=us.pk) is False


def test_every_verb_is_somebodys_and_every_role_has_verbs():
    assert set(ROLE_VERBS) == set(Role.values)
    for verb in VERBS:
        assert roles_with(verb)


def test_an_unknown_verb_is_a_programming_error(uk):
    with pytest.raises(KeyError):
        selectors.can(hire("ana", uk), "prebill.aprove")


def test_nobody_the_anonymous_the_roleless_and_the_disabled_may_nothing(uk):
    disabled = hire("ana", uk)
    disabled.is_active = False
    for user in (None, AnonymousUser(), stranger(), disabled):
        assert selectors.scope_of(user, "prebill.view") == NOTHING
        assert not selectors.can(user, "prebill.view")


def test_a_superuser_holds_no_verb(uk):
    user = stranger()
    user.is_superuser = True
    assert not selectors.can(user, "audit.view", legal_entity_id=uk.pk)


def test_a_project_manager_sees_own_engagements_only(uk):
    pavel = hire("pavel", engagement_key="ENG-2026-000001")
    assert selectors.can(pavel, "prebill.approve_pm", engagement_key="ENG-2026-000001", legal_entity_id=uk.pk)
    assert not selectors.can(
        pavel, "prebill.approve_pm", engagement_key="ENG-2026-000002", legal_entity_id=uk.pk
    )
    scope = selectors.scope_of(pavel, "prebill.view")
    assert (scope.entity_ids, scope.engagement_keys) == (frozenset(), frozenset({"ENG-2026-000001"}))


def test_a_project_manager_without_engagement_sees_nothing_even_with_an_entity(uk):
    pavel = hire("pavel", uk)
    assert selectors.scope_of(pavel, "prebill.view") == NOTHING


def test_a_grant_without_entity_is_for_all_of_them(uk, us):
    felix = hire("felix")
    assert selectors.scope_of(felix, "prebill.view") == EVERYTHING
    assert selectors.can(felix, "prebill.approve_finance", legal_entity_id=us.pk)


def test_a_refusal_says_who_could_act_instead(uk, us):
    hire("carla", uk)
    hire("felix")
    with pytest.raises(NotAllowed) as refusal:
        selectors.require(hire("ana", uk), "mapping.confirm", legal_entity_id=uk.pk)
    assert refusal.value.who == "Carla Whitfield, Felix Okafor"
    assert refusal.value.message == "You may not confirm mappings here. Ask Carla Whitfield, Felix Okafor."
    with pytest.raises(NotAllowed) as refusal:
        selectors.require(hire("ana", uk), "mapping.confirm", legal_entity_id=us.pk)
    assert refusal.value.who == "Felix Okafor"


def test_the_engagements_manager_is_named_before_the_entity(uk):
    pavel = hire("pavel", engagement_key="ENG-1")
    lena = hire("lena", uk)
    assert selectors.who_can("prebill.approve_pm", uk.pk, engagement_key="ENG-1") == [pavel, lena]
    assert selectors.who_can("prebill.approve_pm", uk.pk) == [lena]


def test_permissions_are_read_once(uk, django_assert_num_queries):
    ana = hire("ana", uk)
    with django_assert_num_queries(1):
        permissions = selectors.permissions_of(ana)
        assert permissions.can("mapping.add", legal_entity_id=uk.pk)
        assert not permissions.can("mapping.confirm")
        assert permissions.roles == {"billing_analyst"}
