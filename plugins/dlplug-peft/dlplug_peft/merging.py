"""An adapted network as the one that it came from, with the adapters in its weights."""

from typing import Any

from torch import nn

from dlplug_peft.naming import adapter_layers


def merge(network: nn.Module) -> nn.Module:
    """Add the adapters to the weights and take them out, in place; gives the plain network.

    Raises:
        InvalidValueError: the network has no adapters, or weights that are not finite.
    """
    from dlplug.errors import InvalidValueError

    layers = list(adapter_layers(network))
    if not layers:
        raise InvalidValueError("merge: the architecture has no adapters")
    for name, layer in layers:
        try:
            layer.merge(safe_merge=True)
        except ValueError as error:
            raise InvalidValueError(f"merge: {name}: {error}") from error
        parent, _, own = name.rpartition(".")
        setattr(network.get_submodule(parent), own, layer.get_base_layer())
    return network


def merged_record(record: dict[str, Any]) -> dict[str, Any]:
    """What a checkpoint says of its run, of the architecture within.

    Args:
        record: Of a run whose architecture is `peft`.
    """
    resolved = record["resolved"]
    chosen = resolved["architecture"]
    inner = chosen.get("init_args", chosen)["architecture"]
    return {**record, "resolved": {**resolved, "architecture": inner}}
