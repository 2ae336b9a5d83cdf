"""Lower learning rates for the layers near the input."""

import math
from collections.abc import Iterable

import lightning
from lightning.pytorch.callbacks import Callback
from torch import nn

from dlplug.callbacks.learning_rates import scale_rates
from dlplug.errors import InvalidValueError


class LayerDecay(Callback):
    """Learn block l of L at ``lr * decay**(L + 1 - l)``; what stands after the blocks at ``lr``.

    The blocks are the elements of the architecture's outermost ``nn.ModuleList``s, in their order.
    What is registered before them (embedding, positions) is layer 0; what is registered between two
    lists belongs to the block before it. Parameters outside the architecture, a loss's, learn at
    ``lr``. Norms and biases stay without weight decay, as without this callback.

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
        top = 1 + sum(size for _, size in block_lists(architecture))

        def scale(name: str) -> float:
            return self.decay ** (top - layers.get(name.removeprefix(prefix), top))

        scale_rates(pl_module, scale, "layer_decay")


def layers_of(architecture: nn.Module) -> dict[str, int]:
    """The layer of each parameter, by name: 0 before the blocks, L + 1 after the last of L.

    Raises:
        InvalidValueError: there are no blocks.
    """
    blocks = [f"{name}.{i}." for name, size in block_lists(architecture) for i in range(size)]
    if not blocks:
        raise InvalidValueError(
            f"layer_decay: {type(architecture).__name__} has no blocks",
            known="architectures with an nn.ModuleList of blocks, such as vit",
        )
    layers: dict[str, int] = {}
    layer = 0
    for name, _ in architecture.named_parameters():
        inside = next((i for i, block in enumerate(blocks, start=1) if name.startswith(block)), 0)
        if inside:
            layer = inside
        layers[name] = layer if inside or layer < len(blocks) else len(blocks) + 1
    return layers


def block_lists(architecture: nn.Module) -> Iterable[tuple[str, int]]:
    """Name and length of the outermost module lists, in the order of registration."""
    found: list[str] = []
    for name, module in architecture.named_modules():
        is_inner = any(name.startswith(f"{outer}.") for outer in found)
        if isinstance(module, nn.ModuleList) and not is_inner:
            found.append(name)
            yield name, len(module)
