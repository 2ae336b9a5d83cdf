"""Weights that an output depends on and that no optimizer gets: they are not the model's."""

from typing import Any

from torch import nn

from dlplug.errors import ConfigError
from dlplug.tasks.checks import SHOWN, tensors
from dlplug.tasks.slips import MADE_EARLY


def require_registered_parameters(output: Any, model: nn.Module) -> None:
    """The weights that an output depends on are the model's, so that the optimizer gets them.

    Args:
        output: Computed with gradients enabled.
        model: That gave it.
    Raises:
        ConfigError: some are not.
    """
    if found := unregistered_parameters(output, model):
        shapes = ", ".join(str(tuple(parameter.shape)) for parameter in found[:SHOWN])
        raise ConfigError(
            f"{len(found)} weights that the architecture's output depends on are no parameters of"
            f" the model: {shapes}",
            fix=f"{MADE_EARLY}; what is to stay as it is gets requires_grad_(False)",
        )


def unregistered_parameters(output: Any, model: nn.Module) -> list[nn.Parameter]:
    """The parameters that an output has gradients for, and that are none of the model's.

    Args:
        output: Computed with gradients enabled.
        model: That gave it.
    Returns:
        Those that the graph shows; a checkpointed part hides its own.
    """
    own = {id(parameter) for parameter in model.parameters()}
    found: list[nn.Parameter] = []
    seen, waiting = set(), [tensor.grad_fn for tensor in tensors(output)]
    while waiting:
        node = waiting.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        waiting += [following for following, _ in node.next_functions]
        leaf = getattr(node, "variable", None)  # of what accumulates a gradient
        if isinstance(leaf, nn.Parameter) and id(leaf) not in own:
            found.append(leaf)
    return found
