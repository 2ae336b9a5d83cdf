"""Less memory for more computation: activations are computed again in the backward pass."""

import functools

import lightning
from lightning.pytorch.callbacks import Callback
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.checkpoint import checkpoint

from dlplug.callbacks.network.patterns import architecture_of, check_patterns, modules_matching
from dlplug.errors import InvalidValueError


class ActivationCheckpointing(Callback):
    """Keep the inputs of some modules only, and run these modules again in the backward pass.

    Gradients are the same, with dropout too: the random state is put back for the second run. The
    cost is one more forward pass of those modules.

    Args:
        modules: Patterns (as in `fnmatch`) of names of modules within the architecture, such as
            ``blocks.*``; of two that contain each other, the outer one counts.
    Raises:
        InvalidValueError: no pattern; at the start of a training, one that matches nothing, or a
            module with BatchNorm, whose running statistics would be updated twice.
    References: Chen et al. 2016, arXiv:1604.06174.
    """

    def __init__(self, modules: list[str]):
        self.modules = check_patterns("activation_checkpointing", modules, "modules")
        self._wrapped: list[nn.Module] = []

    def setup(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, stage: str
    ) -> None:
        """Wrap the modules' forward methods; names of weights stay as they are."""
        if stage != "fit":
            return
        network = architecture_of(pl_module)
        found: dict[str, nn.Module] = {}
        for pattern in self.modules:
            found |= modules_matching(network, pattern, "activation_checkpointing")
        for name, module in found.items():
            inner = next((n for n, m in module.named_modules() if isinstance(m, _BatchNorm)), None)
            if inner is not None:
                raise InvalidValueError(
                    f"activation_checkpointing: {name} holds a BatchNorm"
                    f"{f' ({inner})' if inner else ''}, which would count every batch twice",
                    fix="name modules without one",
                )
        is_inside = {m for outer in found.values() for m in outer.modules() if m is not outer}
        for module in found.values():
            if module not in is_inside:
                module.forward = _recomputed(module, module.forward)
                self._wrapped.append(module)

    def teardown(self, trainer, pl_module, stage: str) -> None:
        """Leave the modules as they were."""
        for module in self._wrapped:
            del module.forward
        self._wrapped.clear()


def _recomputed(module: nn.Module, forward):
    @functools.wraps(forward)
    def run(*arguments, **named):
        if not module.training:
            return forward(*arguments, **named)
        return checkpoint(forward, *arguments, use_reentrant=False, **named)

    return run
