"""Errors of records. Public surface: :class:`LinkConflict`."""

from apps.core.errors import WrongState


class LinkConflict(WrongState):
    """Either side is already linked to something else; ``holds`` is the link that stands in the way."""

    title = "Already linked to something else"
    type = "link-conflict"

    def __init__(self, message: str, *, holds: dict[str, str]) -> None:
        super().__init__(message)
        self.holds = holds
