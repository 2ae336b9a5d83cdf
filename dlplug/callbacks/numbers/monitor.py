"""The metric that a callback watches."""

from collections.abc import Iterable

from dlplug.errors import InvalidValueError, suggestion


def check_mode(callback: str, mode: str) -> None:
    """``mode`` is ``min`` or ``max``.

    Raises:
        InvalidValueError: it is not.
    """
    if mode not in ("min", "max"):
        raise InvalidValueError(f"{callback}: mode = {mode!r}", known="min, max")


def missing_metric(callback: str, monitor: str, logged: Iterable[str]) -> InvalidValueError:
    """The error for a watched metric that the task does not log."""
    names = sorted(logged)
    return InvalidValueError(
        f"{callback}: monitor = {monitor!r} is not logged",
        known=", ".join(names) or "nothing is logged",
        fix=suggestion(monitor, names),
    )
