"""From patterns of names to the layers that get an adapter."""

from collections.abc import Iterable
from fnmatch import fnmatchcase

from torch import nn

from dlplug.errors import InvalidValueError, suggestion

# Their weights are read by the attention itself, which never calls them.
NEVER_CALLED = nn.modules.linear.NonDynamicallyQuantizableLinear


def matches(name: str, pattern: str) -> bool:
    """Whether the pattern matches the name, or the name of something that it lies in."""
    parts = name.split(".")
    return any(fnmatchcase(".".join(parts[:n]), pattern) for n in range(1, len(parts) + 1))


def layers_for(network: nn.Module, patterns: Iterable[str], kinds: tuple[type, ...]) -> list[str]:
    """Names of the layers that the patterns mean.

    Args:
        network: The architecture.
        patterns: As in `fnmatch`: of layers, or of modules, which stand for all layers in them.
        kinds: Classes of layers that the adapter can be put on.
    Raises:
        InvalidValueError: a pattern matches nothing, no such layer, or a layer whose weights are
            used elsewhere, too.
    """
    found: dict[str, nn.Module] = {}
    for pattern in patterns:
        inside = {n: m for n, m in network.named_modules() if n and matches(n, pattern)}
        if not inside:
            raise unknown_pattern(network, pattern, "target")
        fit = {
            name: module
            for name, module in inside.items()
            if isinstance(module, kinds) and not isinstance(module, NEVER_CALLED)
        }
        if not fit:
            classes = sorted({type(module).__name__ for module in inside.values()})
            raise InvalidValueError(
                f"architecture peft: target {pattern!r} holds no layer that can be adapted, but"
                f" {', '.join(classes)}",
                known=", ".join(kind.__name__ for kind in kinds),
            )
        found |= fit
    _refuse_shared(network, found)
    return list(found)


def parameters_for(network: nn.Module, patterns: Iterable[str]) -> dict[str, nn.Parameter]:
    """Parameters that the patterns mean, by name.

    Raises:
        InvalidValueError: a pattern matches nothing.
    """
    found: dict[str, nn.Parameter] = {}
    for pattern in patterns:
        fit = {name: p for name, p in network.named_parameters() if matches(name, pattern)}
        if not fit:
            raise unknown_pattern(network, pattern, "train")
        found |= fit
    return found


def unknown_pattern(network: nn.Module, pattern: str, argument: str) -> InvalidValueError:
    """The error for a pattern that matches nothing."""
    names = [name for name, _ in network.named_modules() if name]
    names += [name for name, _ in network.named_parameters()]
    return InvalidValueError(
        f"architecture peft: {argument}: nothing in {type(network).__name__} is named {pattern!r}",
        known=", ".join(name for name, _ in network.named_children()) or "nothing has a name",
        fix=suggestion(pattern, names),
    )


def _refuse_shared(network: nn.Module, layers: dict[str, nn.Module]) -> None:
    homes: dict[int, list[str]] = {}
    for name, parameter in network.named_parameters(remove_duplicate=False):
        homes.setdefault(id(parameter), []).append(name)
    for name, layer in layers.items():
        for parameter in layer.parameters(recurse=False):
            others = [n for n in homes[id(parameter)] if n.rpartition(".")[0] != name]
            if others:
                raise InvalidValueError(
                    f"architecture peft: {name} shares its weights with {others[0]}: merged, its"
                    " adapter would change both",
                    fix=f"leave {name} out of target",
                )
