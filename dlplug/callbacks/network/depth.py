"""The blocks of a network from the input to the output, found in how it is built."""

from collections.abc import Iterator

from torch import nn

from dlplug.callbacks.network.patterns import parameters_matching
from dlplug.errors import InvalidValueError

KNOWN = (
    "an nn.ModuleList or nn.Sequential of blocks, recurrent layers, or a method depth_order() that"
    " gives the names of the blocks"
)


def depth_blocks(architecture: nn.Module, callback: str) -> list[list[str]]:
    """Names of the parameters of each block, in order; what stands after the blocks is in none.

    An architecture with a method ``depth_order()`` says itself what its blocks are: it gives names
    of modules, or patterns (as in `fnmatch`). Of others the blocks are the elements of the
    outermost ``nn.ModuleList`` and ``nn.Sequential`` in the order of registration, and the layers
    of torch's recurrent networks. A ``Sequential`` counts when two of its elements have matrices,
    and an element without any, such as a norm, belongs to the one before.

    Args:
        architecture: The network.
        callback: Name, for messages.
    Raises:
        InvalidValueError: there are no blocks.
    """
    if hasattr(architecture, "depth_order"):
        order = architecture.depth_order()
        return [list(parameters_matching(architecture, name, callback)) for name in order]
    blocks = [block for container in containers(architecture) for block in container]
    if not blocks:
        raise InvalidValueError(
            f"{callback}: {type(architecture).__name__} has no blocks", known=KNOWN
        )
    return blocks


def containers(architecture: nn.Module) -> Iterator[list[list[str]]]:
    """The outermost modules that hold blocks: for each the parameters of its blocks."""
    found: list[str] = []
    for name, module in architecture.named_modules():
        if any(name.startswith(outer) for outer in found):
            continue
        prefix = f"{name}." if name else ""
        blocks = blocks_in(module, prefix)
        if blocks:
            found.append(prefix)
            yield blocks


def blocks_in(module: nn.Module, prefix: str) -> list[list[str]]:
    """Parameters of the blocks in a module, whose names begin with ``prefix``; none for most."""
    if isinstance(module, nn.RNNBase):
        # weight_ih_l0, bias_hh_l1_reverse, ...
        names = [name for name, _ in module.named_parameters()]
        layers = (
            [n for n in names if f"{n}_".find(f"_l{i}_") > 0] for i in range(module.num_layers)
        )
        return [[prefix + name for name in layer] for layer in layers]
    if not isinstance(module, (nn.ModuleList, nn.Sequential)):
        return []
    blocks: list[list[str]] = []
    num_blocks = 0
    for number, element in module.named_children():
        parameters = dict(element.named_parameters(prefix + number))
        is_block = any(parameter.ndim >= 2 for parameter in parameters.values())
        num_blocks += is_block
        if parameters and (not blocks or (is_block and num_blocks > 1)):
            blocks.append([])
        if parameters:
            blocks[-1] += parameters
    # A convolution with its norm and activation is one layer, not a stack of blocks.
    return blocks if num_blocks >= (2 if isinstance(module, nn.Sequential) else 1) else []
