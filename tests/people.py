"""The same named people in every test: who they are and which roles they hold.

``hire("ana", entity)`` enters one of :data:`PEOPLE` with the role, in the given legal entity (None = everywhere).
"""

from __future__ import annotations

from apps.organization import services
from apps.organization.models import LegalEntity, User

#: user name → (first name, last name, role)
PEOPLE = {
    "ana": ("Ana", "Lindqvist", "billing_analyst"),
    "rashid": ("Rashid", "Noor", "receivables"),
    "tilda": ("Tilda", "Maes", "tax"),
    "carla": ("Carla", "Whitfield", "controller"),
    "felix": ("Felix", "Okafor", "cfo"),
    "remy": ("Remy", "Duval", "revops_analyst"),
    "ruth": ("Ruth", "Okello", "revops_approver"),
    "pavel": ("Pavel", "Horak", "project_manager"),
    "lena": ("Lena", "Brandt", "practice_lead"),
    "ada": ("Ada", "Kovacs", "admin"),
    "otto": ("Otto", "Reiss", "auditor"),
}
PASSWORD = "a-long-test-passphrase"


def hire(
    username: str, entity: LegalEntity | None = None, *, engagement_key: str = "", role: str | None = None
) -> User:
    """One of the people with their role (or another one)."""
    first, last, usual = PEOPLE[username]
    user = User.objects.filter(username=username).first() or services.user_create(
        username=username,
        email=f"{username}@merridane.example",
        password=PASSWORD,
        first_name=first,
        last_name=last,
    )
    services.role_grant(user=user, role=role or usual, legal_entity=entity, engagement_key=engagement_key)
    return user


def stranger() -> User:
    """Somebody who can log in and holds no role."""
    return services.user_create(username="sam", email="sam@merridane.example", password=PASSWORD)
