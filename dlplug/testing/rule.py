"""A rule of the conformance kit: what it proves, for which kinds, and how to mend a violation.

A rule is one function marked with `rule`. It returns None when the component keeps it; whatever it
raises breaks it, with the exception as the reason; `DoesNotApply` says why it cannot be asked.
"""

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING

from dlplug.config.kinds import TRAITS

if TYPE_CHECKING:
    from dlplug.testing.subject import Subject


class Broken(Exception):
    """A rule is broken; the text is the reason.

    Args:
        reason: What does not hold.
        fix: What to do about this very reason; None for what the rule says.
    """

    def __init__(self, reason: str, fix: str | None = None):
        super().__init__(reason)
        self.fix = fix


class DoesNotApply(Exception):
    """A rule has nothing to say about this component; the text is the reason."""


@dataclass(frozen=True)
class Rule:
    """One rule.

    Attributes:
        name: The function's name; what an exemption in the examples refers to.
        kinds: Plurals of the kinds that it is asked of.
        proves: What holds for a component that keeps it, in one sentence without a full stop.
        fix: What an author does about a violation.
        check: ``check(subject)``.
        is_gate: Where it is broken, the rules after it cannot be asked.
    """

    name: str
    kinds: tuple[str, ...]
    proves: str
    fix: str
    check: Callable[["Subject"], None]
    is_gate: bool = False


_RULES: list[Rule] = []

# Commands and presets are left out: nothing is built of them.
COMPONENTS = tuple(TRAITS)


def all_rules() -> tuple[Rule, ...]:
    """Every rule, in the order in which they are asked."""
    # Each of the families marks its own.
    import_module("dlplug.testing.rules")
    return tuple(_RULES)


def rule(
    *, kinds: tuple[str, ...] = COMPONENTS, proves: str, fix: str, is_gate: bool = False
) -> Callable:
    """Mark a function as a rule.

    Args:
        kinds: Plurals of the kinds that it is asked of.
        proves: See `Rule`.
        fix: See `Rule`.
        is_gate: See `Rule`.
    """

    def register(check: Callable[["Subject"], None]) -> Callable[["Subject"], None]:
        _RULES.append(Rule(check.__name__, kinds, proves, fix, check, is_gate))
        return check

    return register
