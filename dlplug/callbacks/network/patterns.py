"""Parts of a network by patterns of their names."""

from collections.abc import Iterable
from fnmatch import fnmatchcase

from torch import nn

from dlplug.errors import InvalidValueError, suggestion


def check_patterns(callback: str, patterns: Iterable[str], where: str) -> list[str]:
    """The patterns as a list.

    Args:
        callback: Name, for messages.
        patterns: As in `fnmatch`; at least one.
        where: Name of the argument, for messages.
    Raises:
        InvalidValueError: there are none, or one is no text.
    """
    found = [patterns] if isinstance(patterns, str) else list(patterns)
    if not found or not all(isinstance(pattern, str) and pattern for pattern in found):
        raise InvalidValueError(
            f"{callback}: {where} = {patterns!r}", known="patterns of names, such as 'blocks.*'"
        )
    return found


def architecture_of(task: nn.Module) -> nn.Module:
    """What the names are relative to: the task's architecture, else the task itself."""
    return getattr(task, "architecture", task)


def parameters_matching(network: nn.Module, pattern: str, callback: str) -> dict[str, nn.Parameter]:
    """Parameters whose name, or that of a module which they belong to, matches.

    Raises:
        InvalidValueError: there are none; suggests a name.
    """
    found = {name: p for name, p in network.named_parameters() if matches(name, pattern)}
    if not found:
        raise unknown_pattern(network, pattern, callback)
    return found


def modules_matching(network: nn.Module, pattern: str, callback: str) -> dict[str, nn.Module]:
    """Modules whose name matches, without those inside of others that do.

    Raises:
        InvalidValueError: there are none; suggests a name.
    """
    found: dict[str, nn.Module] = {}
    for name, module in network.named_modules():
        is_inner = any(name.startswith(f"{outer}.") for outer in found)
        if name and not is_inner and fnmatchcase(name, pattern):
            found[name] = module
    if not found:
        raise unknown_pattern(network, pattern, callback)
    return found


def matches(name: str, pattern: str) -> bool:
    """Whether the pattern matches the name, or the name of something that it lies in."""
    parts = name.split(".")
    return any(fnmatchcase(".".join(parts[:n]), pattern) for n in range(1, len(parts) + 1))


def unknown_pattern(network: nn.Module, pattern: str, callback: str) -> InvalidValueError:
    """The error for a pattern that matches nothing."""
    names = [name for name, _ in network.named_modules() if name]
    names += [name for name, _ in network.named_parameters()]
    return InvalidValueError(
        f"{callback}: nothing in {type(network).__name__} is named {pattern!r}",
        known=", ".join(name for name, _ in network.named_children()) or "nothing has a name",
        fix=suggestion(pattern, names),
    )
