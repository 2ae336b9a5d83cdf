"""Every exception that dlplug raises on purpose.

DlplugError                 all of the below; the command line prints it and exits with `exit_code`
├── ConfigError             the config or the command line is wrong
│   ├── UnknownKeyError     a key, argument, command or option that does not exist
│   ├── InvalidValueError   a value of the wrong type or range, or a required one that is missing
│   └── UntrustedError      a name from a config or checkpoint that may not be imported
├── PluginError             a plugin cannot be used
│   ├── UnknownComponentError   no installed distribution provides that name
│   ├── ComponentConflictError  several distributions provide that name
│   └── ComponentLoadError      importing the component failed; `__cause__` is the reason
├── DataError               a file, record or label is missing or out of range
├── RunError                a run folder cannot be found, written or used for this
│   ├── CheckpointError     a checkpoint is damaged, unsafe or of another architecture
│   ├── StorageError        the disk is full or fails; exits with 74, as in sysexits.h
│   └── ProcessLostError    another process of the training died or hangs; exits with 75
└── OpError                 a fused op was called wrongly
    ├── ShapeError          also a ValueError
    ├── DtypeError          also a TypeError
    └── BackendError        also a RuntimeError: a backend that was asked for is missing
"""

from collections.abc import Iterable
from difflib import get_close_matches


class DlplugError(Exception):
    """An error a user can act on: what went wrong, where, what is known, how to fix it.

    Args:
        what: One sentence with the offending value, without a final full stop.
        where: File and line, key, or call in which it stands; None if there is only one place.
        known: The values that would have been accepted, as one line; None if not enumerable.
        fix: What to do now, as one line; None if ``what`` says it already.
    """

    exit_code = 2
    """Of the command line: 2 for what the user can correct."""

    def __init__(
        self,
        what: str,
        *,
        where: str | None = None,
        known: str | None = None,
        fix: str | None = None,
    ):
        super().__init__(what, where, known, fix)
        self.what = what
        self.where = where
        self.known = known
        self.fix = fix

    def __reduce__(self):
        # Exceptions cross process boundaries (data workers, ranks); keyword-only arguments do not
        # survive the default protocol.
        return _rebuild, (type(self), self.what, self.where, self.known, self.fix)

    def __str__(self) -> str:
        rows = (("where", self.where), ("known", self.known), ("fix", self.fix))
        return "\n".join([self.what, *(f"  {f'{key}:':<6} {text}" for key, text in rows if text)])


class ConfigError(DlplugError):
    """The config or the command line is wrong."""


class UnknownKeyError(ConfigError):
    """A key, argument, command or option that does not exist."""


class InvalidValueError(ConfigError):
    """A value of the wrong type or range, or a required value that is missing."""


class UntrustedError(ConfigError):
    """A name from a config or checkpoint that may not be imported."""


class PluginError(DlplugError):
    """A plugin cannot be used."""


class UnknownComponentError(PluginError):
    """No installed distribution provides a component of that name."""


class ComponentConflictError(PluginError):
    """Several distributions provide a component of that name."""


class ComponentLoadError(PluginError):
    """Importing a component failed; ``__cause__`` holds the original exception."""


class DataError(DlplugError):
    """A file, record or label is missing or out of range."""


class RunError(DlplugError):
    """A run folder cannot be found, written or used for this."""


class CheckpointError(RunError):
    """A checkpoint is damaged, unsafe or of another architecture."""


class StorageError(RunError):
    """The disk is full, or fails."""

    exit_code = 74


class ProcessLostError(RunError):
    """Another process of the training died, or hangs."""

    exit_code = 75
    """As in sysexits.h: it may well succeed when it is tried again."""


class OpError(DlplugError):
    """A fused op was called wrongly."""


class ShapeError(OpError, ValueError):
    """A tensor has the wrong shape."""


class DtypeError(OpError, TypeError):
    """A tensor has the wrong dtype."""


class BackendError(OpError, RuntimeError):
    """The backend asked for is missing, or refuses this call."""


def suggestion(name: str, known: Iterable[str], prefix: str = "") -> str | None:
    """``did you mean 'x'?`` for the nearest of ``known``, or None when nothing is near.

    Capitals, underscores and hyphens count less than letters: ``MyNet`` is ``my_net``.

    Args:
        name: What the user wrote.
        known: The names that exist.
        prefix: Put before the name in the answer, such as ``--``.
    """
    known = list(known)
    folded = {_folded(word): word for word in reversed(known)}
    matches = [folded[_folded(name)]] if _folded(name) in folded else []
    matches = matches or get_close_matches(name, known, n=1, cutoff=0.6)
    matches = matches or [folded[word] for word in get_close_matches(_folded(name), folded, n=1)]
    return f"did you mean '{prefix}{matches[0]}'?" if matches else None


def _folded(name: str) -> str:
    return name.lower().replace("_", "").replace("-", "")


def _rebuild(cls, what, where, known, fix):
    return cls(what, where=where, known=known, fix=fix)
