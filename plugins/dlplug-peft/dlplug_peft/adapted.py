"""The architecture `peft`: another architecture, frozen, with adapters that are trained."""

import re
import sys
import warnings
from typing import Any

from lightning.pytorch.utilities import rank_zero_only
from torch import nn

from dlplug.errors import DlplugError, InvalidValueError
from dlplug_peft.kinds import NAME, config_of, layers_of
from dlplug_peft.naming import keep_names
from dlplug_peft.targets import layers_for, parameters_for


def adapted(
    architecture: nn.Module,
    target: list[str],
    train: list[str],
    type: str = "lora",
    settings: dict[str, Any] | None = None,
) -> nn.Module:
    """Another architecture whose weights stay as they are, with adapters of the library peft.

    ``state_dict`` has the weights under the architecture's own names, and those of the adapters
    beside them, so that the callback ``pretrained`` loads a checkpoint of the architecture itself
    with ``replace: ['*lora_*', ...]``. The command ``merge`` writes one. ::

        architecture:
          name: peft
          architecture: {name: vit, depth: 6}
          target: ['blocks.*.qkv', 'blocks.*.out']
          train: [head]
          settings: {r: 8, lora_alpha: 16}

    Args:
        architecture: Any architecture of dlplug or of a plugin.
        target: Patterns (as in `fnmatch`) of layers, or of modules, which stand for all layers in
            them: these get adapters.
        train: Patterns of parameters or modules that are trained as they are, such as a new
            ``head``; [] for the adapters alone.
        type: Of the adapters: ``lora``, ``loha``, ``lokr``, ``ia3``, ``oft``, ``hra``,
            ``fourierft``, ``miss`` or ``delora``.
        settings: Of the adapters, by peft's own names, such as ``{r: 8, lora_alpha: 16}``.
    Raises:
        InvalidValueError: no such adapter, a pattern that matches nothing, or a value that peft
            refuses.
        UnknownKeyError: the adapter has no such setting.
    References: Hu et al. 2021, arXiv:2106.09685 (LoRA).
    """
    if not target:
        raise InvalidValueError(f"{NAME}: target is empty", known="patterns, such as 'blocks'")
    layers = layers_for(architecture, target, layers_of(type))
    trained = parameters_for(architecture, train)
    names = "|".join(map(re.escape, layers))
    base = list(architecture.parameters())
    _inject(architecture, type, dict(settings or {}), names)
    for parameter in base:
        parameter.requires_grad_(False)
    for parameter in trained.values():
        parameter.requires_grad_(True)
    keep_names(architecture)
    _tell(architecture, type, len(layers))
    return architecture


def _inject(network: nn.Module, type: str, settings: dict[str, Any], names: str) -> None:
    import peft

    try:
        config = config_of(type, settings, names)
        with warnings.catch_warnings():
            # The library sets it right by itself for each layer.
            warnings.filterwarnings("ignore", message="fan_in_fan_out is set")
            peft.inject_adapter_in_model(config, network)
    except DlplugError:
        raise
    # The library refuses values by errors of any class.
    except Exception as error:
        told = " ".join(str(error).split()) or error.__class__.__name__
        raise InvalidValueError(f"{NAME}: the adapter {type} is refused: {told}") from error


@rank_zero_only
def _tell(network: nn.Module, type: str, layers: int) -> None:
    counts = [(p.numel(), p.requires_grad) for p in network.parameters()]
    total, trained = sum(n for n, _ in counts), sum(n for n, is_trained in counts if is_trained)
    print(
        f"{type} on {layers} layers: {trained:,} of {total:,} parameters are trained"
        f" ({100 * trained / total:.2g} %)",
        file=sys.stderr,
    )
