"""Weights under the names that they have without adapters, in state dicts."""

from collections.abc import Iterator
from typing import Any

from torch import nn

# Where peft keeps the layer that it has put an adapter on.
INNER = "base_layer."


def adapter_layers(network: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """The layers that peft has put in the place of others, outermost ones."""
    from peft.tuners.tuners_utils import BaseTunerLayer

    for name, module in network.named_modules():
        if isinstance(module, BaseTunerLayer):
            yield name, module


def keep_names(network: nn.Module) -> None:
    """Let ``state_dict`` and ``load_state_dict`` use the names from before."""
    for _, layer in adapter_layers(network):
        layer.register_state_dict_post_hook(_shorten)
        layer.register_load_state_dict_pre_hook(_lengthen)


def _shorten(module: nn.Module, state: dict[str, Any], prefix: str, _: Any) -> None:
    long = prefix + INNER
    for name in [name for name in state if name.startswith(long)]:
        state[prefix + name[len(long) :]] = state.pop(name)


def _lengthen(module: nn.Module, state: dict[str, Any], prefix: str, *_: Any) -> None:
    own = module.base_layer.state_dict()
    for name in own:
        if prefix + name in state:
            state[prefix + INNER + name] = state.pop(prefix + name)
