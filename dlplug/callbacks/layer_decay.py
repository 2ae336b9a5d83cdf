"""Lower learning rates for the layers near the input."""

import math

import lightning
from lightning.pytorch.callbacks import Callback
from torch import nn

from dlplug.callbacks.network.depth import depth_blocks
from dlplug.callbacks.network.learning_rates import scale_rates
from dlplug.errors import InvalidValueError


class LayerDecay(Callback):
    """Learn block l of L at ``lr * decay**(L + 1 - l)``; what stands after the blocks at ``lr``.

    For what the blocks are see `dlplug.callbacks.network.depth.depth_blocks`. What is registered
    before them (embedding, positions) is layer 0; what is registered between two of them belongs to
    the one before. Where nothing follows the blocks, the last one is the head and learns at ``lr``,
    as parameters outside the architecture do, a loss's. Norms and biases stay without weight decay,
    as without this callback.

    Args:
        decay: Factor from one layer to the one below, in ``(0, 1]``.
    Raises:
        InvalidValueError: ``decay`` is out of range; at the start of a training, an architecture
            without blocks or an optimizer without learning rate.
    References: Clark et al. 2020, arXiv:2003.10555, appendix B; Bao et al. 2022, arXiv:2106.08254.
    """

    def __init__(self, decay: float = 0.75):
        if not (math.isfinite(decay) and 0 < decay <= 1):
            raise InvalidValueError(f"layer_decay: decay = {decay} is not in (0, 1]")
        self.decay = decay

    def setup(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, stage: str
    ) -> None:
        """Set the groups before the optimizer is built."""
        if stage != "fit":
            return
        architecture = getattr(pl_module, "architecture", pl_module)
        layers = layers_of(architecture)
        prefix = "" if architecture is pl_module else "architecture."
        top = max(layers.values())

        def scale(name: str) -> float:
            return self.decay ** (top - layers.get(name.removeprefix(prefix), top))

        scale_rates(pl_module, scale, "layer_decay")


def layers_of(architecture: nn.Module) -> dict[str, int]:
    """The layer of each parameter, by name: 0 before the blocks, L + 1 after the last of L.

    Raises:
        InvalidValueError: there are no blocks.
    """
    blocks = depth_blocks(architecture, "layer_decay")
    inside = {name: layer for layer, block in enumerate(blocks, start=1) for name in block}
    num_left = len(inside)
    layers: dict[str, int] = {}
    layer = 0
    for name, _ in architecture.named_parameters():
        if name in inside:
            layer = inside[name]
            num_left -= 1
        layers[name] = layer if name in inside or num_left else len(blocks) + 1
    return layers
