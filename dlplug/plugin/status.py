"""The states that a plugin or component can be in."""

from collections.abc import Iterable
from enum import Enum


class Status(str, Enum):
    """State of a component, a hook module or a whole distribution."""

    AVAILABLE = "available"
    """The metadata shows nothing wrong; not imported in this process."""
    LOADED = "loaded"
    """Imported in this process."""
    DISABLED = "disabled"
    """Blocked, or not on the list of what is allowed."""
    INCOMPATIBLE = "incompatible"
    """Written for another plugin API, or in an entry-point group that this version lacks."""
    CONFLICT = "conflict"
    """Another distribution provides the same short name; the full id works."""
    FAILED = "failed"
    """Importing it, registering it or calling it raised, now or when last loaded."""
    MISSING_EXTRA = "missing-extra"
    """Something that it declares to need is not installed."""

    def __str__(self) -> str:
        return self.value

    @property
    def is_problem(self) -> bool:
        """Whether somebody has to act; being disabled is a choice, not a problem."""
        return self in _PROBLEMS


_PROBLEMS = (Status.FAILED, Status.INCOMPATIBLE, Status.CONFLICT, Status.MISSING_EXTRA)


def overall(statuses: Iterable[Status]) -> Status:
    """The one status that stands for several: the worst problem, else what is in use."""
    present = set(statuses)
    order = (*_PROBLEMS, Status.LOADED, Status.AVAILABLE, Status.DISABLED)
    return next((status for status in order if status in present), Status.AVAILABLE)
