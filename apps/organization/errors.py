"""Errors of the organization. Public surface: :class:`RoleConflict`."""

from apps.core.errors import WrongState


class RoleConflict(WrongState):
    """The person holds a role that must be another person's (segregation of duties)."""

    title = "Roles that one person may not hold together"
    type = "role-conflict"
