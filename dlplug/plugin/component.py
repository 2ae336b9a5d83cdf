"""One component that a distribution offers: who it is, what state it is in, how it is loaded."""

import sys
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter
from types import FunctionType, ModuleType

from dlplug.errors import ComponentLoadError, PluginError
from dlplug.plugin.control import Rule
from dlplug.plugin.failure import advice, cause_of
from dlplug.plugin.memory import Memory, Outcome
from dlplug.plugin.names import one_line
from dlplug.plugin.presets import comment_of, preset_file
from dlplug.plugin.spec import CORE, HOOK_GROUP, INDEX_GROUP, KINDS, PRESETS
from dlplug.plugin.status import Status
from dlplug.plugin.targets import import_target

SLOW = 1.0
"""Seconds above which an import is worth telling."""
SHARED = frozenset(("torch", "lightning", "torchmetrics", "numpy", "scipy", "matplotlib"))
"""Libraries that take long to import and that most plugins need."""
HOOKS_KIND = "hooks"
"""Stands as the kind of an entry point in the group ``dlplug``."""


@dataclass(eq=False)
class Component:
    """A component, or a module of hooks, by name; nothing is imported before `load`.

    Args:
        kind: Plural, such as ``losses``; ``hooks`` for a module of hooks.
        name: Short name, as in configs.
        distribution: Normalised name of the distribution that offers it.
        version: Version of that distribution.
        target: ``module:attr``; ``module`` for a module of hooks.
        summary: One line; empty if nothing is known.
        status: See `Status`.
        reason: Why the status is what it is; None if there is nothing to say.
        fix: What the user can do about it; None if there is nothing to do.
        error: The original exception, if one was raised in this process.
        seconds: How long importing it took, if that was slow; remembered like a failure.
        missing: Distributions that it requires and that are not installed.
        requires: Distributions that it requires beyond what its own distribution does, with their
            extras, such as ``acme-fast[gpu]``.
        file: The plugin file or folder that offers it; empty for what is installed.
        declared: File and line of its declaration there.
        refuses: The status forbids even to try the import.
        is_index: It is a module of hooks that imports no library, by its authors' word.
        offered_by: Id of the module of hooks that offers it; empty for an entry point.
        is_recalled: The name comes from the index: its module of hooks was not asked in this
            process, and decides once it is.
        memory: Where the outcome of loading is remembered; None for nowhere.
    """

    kind: str
    name: str
    distribution: str
    version: str
    target: str
    summary: str = ""
    status: Status = Status.AVAILABLE
    reason: str | None = None
    fix: str | None = None
    error: BaseException | None = field(default=None, repr=False)
    seconds: float | None = None
    missing: tuple[str, ...] = ()
    requires: tuple[str, ...] = ()
    file: str = ""
    declared: str = ""
    refuses: bool = False
    is_index: bool = False
    offered_by: str = ""
    is_recalled: bool = False
    memory: Memory | None = field(default=None, repr=False)
    value: object = field(default=None, repr=False)
    """What was imported; None before."""

    @property
    def id(self) -> str:
        """``distribution:name``, which names exactly one component of a kind."""
        return f"{self.distribution}:{self.name}"

    @property
    def provider(self) -> str:
        """Distribution and version, for messages: ``acme-losses 2.3``."""
        return f"{self.distribution} {self.version}"

    @property
    def label(self) -> str:
        """Kind and name, for messages: ``loss 'focal'``."""
        known = KINDS.get(self.kind)
        return f"{known.singular if known else self.kind} {self.name!r}"

    @property
    def entry_point(self) -> str:
        """The line that offers it: ``dlplug.losses: focal = acme_losses.focal:FocalLoss``.

        Of a plugin file, where that stands.
        """
        if self.file:
            return f"{self.declared}: {self.name}"
        return f"{self.group}: {self.name} = {self.target}"

    @property
    def group(self) -> str:
        """The entry-point group that it stands in."""
        if self.kind == HOOKS_KIND:
            return INDEX_GROUP if self.is_index else HOOK_GROUP
        return KINDS[self.kind].group if self.kind in KINDS else self.kind

    @property
    def is_problem(self) -> bool:
        """Whether somebody has to act.

        An optional library that a built-in component lacks is no problem: nobody asked for it.
        """
        is_optional = self.distribution == CORE and self.status is Status.MISSING_EXTRA
        return self.status.is_problem and not is_optional

    @property
    def is_candidate(self) -> bool:
        """Whether it takes part when its short name is resolved.

        One that lacks an extra or fails does: installing a package must not change what a name
        means. One that is blocked, or that this dlplug cannot use at all, does not.
        """
        excluded = self.status in (Status.DISABLED, Status.INCOMPATIBLE)
        return not excluded and not (self.status is Status.FAILED and self.refuses)

    @property
    def is_remembered(self) -> bool:
        """Whether its failure is that of an earlier process, which is shown and decides nothing."""
        return self.status is Status.FAILED and self.error is None and not self.refuses

    def recall(self, memory: Memory) -> None:
        """Take the summary, and the failure if any, of the last load; nothing is decided by it."""
        self.memory = memory
        outcome = memory.recall(self.distribution, self.version, self.target)
        if outcome is None:
            return
        self.summary, self.seconds = outcome.summary or self.summary, outcome.seconds
        if outcome.failed and self.status is Status.AVAILABLE:
            self.status = Status.FAILED
            self.reason = f"when last used: {outcome.failed}"
            self.fix = (
                "tried again when a config names it; now: python -m dlplug plugins list --load"
            )

    def obey(self, rules: Iterable[Rule]) -> None:
        """Be disabled if one of the user's rules says so."""
        for rule in rules:
            if objection := rule.objection(self.distribution, self.name):
                self.status, self.refuses = Status.DISABLED, True
                self.reason, self.fix = objection
                return

    def load(self, *, where: str | None = None) -> object:
        """Import the component and return it; the same object every time. Of a preset, its path.

        A failed import is tried again by the next call.

        Args:
            where: File and line that ask for it, for the message.
        Raises:
            PluginError: it is disabled, incompatible, or lacks an extra.
            ComponentLoadError: the import raised, which ``__cause__`` holds, or did not give a
                class or function.
        """
        if self.value is not None:
            return self.value
        self.check_usable(where=where)
        absent = {self.target.partition(":")[0], *SHARED} - sys.modules.keys()
        begun = perf_counter()
        try:
            is_file = self.kind == PRESETS
            value = preset_file(self.target) if is_file else import_target(self.target)
            self._check_type(value)
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            # SystemExit too: a plugin that exits on import must not end the program.
            self.fail(error, cause_of(error))
            raise self.load_error(where=where) from error
        self._note_time(perf_counter() - begun, absent)
        self._succeed(value)
        return value

    def check_usable(self, *, where: str | None = None) -> None:
        """Raise a PluginError with the reason if it is known that loading must not be tried."""
        if self.refuses:
            raise PluginError(
                f"{self.label} of {self.provider} cannot be used ({self.status}): {self.reason}",
                where=where,
                fix=self.fix,
            )

    def fail(self, error: BaseException, cause: str) -> None:
        """Note that ``error`` was raised; ``cause`` says it in one line."""
        self.status, self.reason, self.error = Status.FAILED, cause, error
        self.fix = advice(self, error)
        self._remember(Outcome(failed=cause))

    def load_error(self, *, where: str | None = None) -> ComponentLoadError:
        """The exception for the failure that `fail` noted."""
        place = self.entry_point if where is None else f"{where}; {self.entry_point}"
        return ComponentLoadError(
            f"{self.label} of {self.provider} cannot be loaded: {self.reason}",
            where=place,
            fix=self.fix,
        )

    def accept(self, value: object) -> None:
        """Take ``value`` as what the component is, without an import.

        Raises:
            TypeError: it is neither a class nor a function.
        """
        self._check_type(value)
        module, name = getattr(value, "__module__", ""), getattr(value, "__qualname__", "")
        self.target = f"{module}:{name}" if name else type(value).__qualname__
        self.summary = self.summary or _first_line(value)
        self.value, self.status = value, Status.LOADED

    def _succeed(self, value: object) -> None:
        self.value, self.error = value, None
        # Two providers of a name stay in conflict when both load.
        if self.status is not Status.CONFLICT:
            self.status, self.reason, self.fix = Status.LOADED, None, None
        first = _first_line(value)
        if first and self.distribution != CORE:
            self.summary = first
        self._remember(Outcome(summary=first, seconds=self.seconds))

    def _note_time(self, seconds: float, absent: set[str]) -> None:
        """Keep the time of a slow import; ``absent`` are modules that were not there before."""
        module = self.target.partition(":")[0]
        # What others import too is not put down to the one that happens to come first.
        if module in absent and not absent & SHARED & sys.modules.keys():
            self.seconds = round(seconds, 1) if seconds > SLOW else None

    def _check_type(self, value: object) -> None:
        if self.kind in (HOOKS_KIND, PRESETS) or (callable(value) and not _is_model(value)):
            return
        if isinstance(value, ModuleType):
            raise TypeError(f"{self.target!r} is a module, not a class or function")
        owner = type(value)
        itself = f"; name the class itself, {owner.__module__}:{owner.__qualname__}"
        raise TypeError(
            f"{self.target!r} is of type {owner.__name__}, not a class or function"
            + (itself if owner.__module__ != "builtins" else "")
        )

    def _remember(self, outcome: Outcome) -> None:
        if self.memory is not None:
            self.memory.record(self.distribution, self.version, self.target, outcome)


def _is_model(value: object) -> bool:
    """Whether it is an object of a class of PyTorch's, which can be called, but not built anew."""
    return any(base.__module__ == "torch.nn.modules.module" for base in type(value).__mro__)


def _first_line(value: object) -> str:
    """First line of a docstring, or of the comment at the top of a file; empty if it has none."""
    if isinstance(value, Path):
        return one_line(comment_of(value).partition("\n")[0])
    # An instance, such as a partial, would show its class's docstring.
    if not isinstance(value, type | FunctionType | ModuleType):
        return ""
    return one_line((value.__doc__ or "").strip().partition("\n")[0])
