"""What became of injected faults."""

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Outcome:
    """The count of one kind of fault.

    Args:
        injected: Faults that really fired.
        contained: Of these, the ones after which everything required held.
        measured: What is worth knowing besides, by name with its unit, such as ``lost steps``.
    """

    injected: int
    contained: int
    measured: dict[str, float | int | str] = field(default_factory=dict)
