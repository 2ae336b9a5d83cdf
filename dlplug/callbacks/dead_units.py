"""Find units that never become active."""

import sys
from typing import Any

import lightning
import torch
from lightning.pytorch.callbacks import Callback
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd

from dlplug.callbacks.network.blocks import log_step
from dlplug.errors import InvalidValueError

ACTIVATIONS = (nn.ReLU, nn.ReLU6, nn.GELU, nn.SiLU, nn.Mish, nn.ELU, nn.CELU, nn.SELU, nn.Hardswish)


class DeadUnits(Callback):
    """Log ``dead_units/<layer>``: the share of units that no training record of an epoch activates.

    A unit is active when the output of its nonlinearity (ReLU, GELU, SiLU and the like) is above 0.
    Units lie along the last axis, after a convolution along the channels, axis 1; which of both is
    told by the layer that is registered last before the nonlinearity. Only nonlinearities that are
    modules can be seen, as those of the built-in architectures are, not calls of functions. A layer
    with more than ``warn_above`` dead units is named once on standard error. Counted on the device,
    read once an epoch.

    Args:
        warn_above: Share of dead units that is told of, in ``[0, 1]``.
    Raises:
        InvalidValueError: a value out of range; when a training starts, a model without any
            nonlinearity that can be seen.
    """

    def __init__(self, warn_above: float = 0.5):
        if not 0 <= warn_above <= 1:
            raise InvalidValueError(f"dead_units: warn_above = {warn_above:g} is not in [0, 1]")
        self.warn_above = warn_above
        self.shares: dict[str, float] = {}
        self._active: dict[str, Tensor] = {}
        self._handles: list = []
        self._told: set[str] = set()

    def setup(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, stage: str
    ) -> None:
        """There are nonlinearities to watch, and no counts of a training before.

        Raises:
            InvalidValueError: there is none.
        """
        if stage == "fit" and not nonlinearities(pl_module):
            raise InvalidValueError(
                "dead_units: the architecture has no nonlinearity that is a module",
                known=", ".join(activation.__name__ for activation in ACTIVATIONS),
                fix="take dead_units out of the callbacks: functions cannot be watched",
            )
        self._active = {}

    def on_fit_start(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule
    ) -> None:
        """Begin to watch."""
        for name, (module, axis) in nonlinearities(pl_module).items():
            name = name.removeprefix("architecture.")
            self._handles.append(module.register_forward_hook(self._watch(name, axis)))

    def on_train_start(self, trainer: lightning.Trainer, pl_module) -> None:
        """Go on with what a checkpoint has seen of the epoch."""
        device = pl_module.device
        self._active = {name: active.to(device) for name, active in self._active.items()}

    def on_train_epoch_end(self, trainer: lightning.Trainer, pl_module) -> None:
        """Read the counts, log and tell."""
        self.shares = {}
        for name, active in self._active.items():
            if trainer.world_size > 1:  # a unit is dead when it is so in every process
                active = trainer.strategy.reduce(active.float(), reduce_op="sum") > 0
            self.shares[name] = 1 - active.float().mean().item()
        self._active = {}
        named = {f"dead_units/{name}": share for name, share in self.shares.items()}
        log_step(trainer, named, max(trainer.global_step - 1, 0))
        for name, share in self.shares.items():
            if share > self.warn_above and name not in self._told and trainer.is_global_zero:
                self._told.add(name)
                print(
                    f"dead_units: {share:.0%} of the units of {name} were never active in epoch"
                    f" {trainer.current_epoch + 1}; lower optimizer.lr, or use another nonlinearity"
                    " or initialisation",
                    file=sys.stderr,
                    flush=True,
                )

    def state_dict(self) -> dict[str, Any]:
        """Which units any process has seen active in the epoch; called in all of them at once."""
        parts = [self._active]
        if torch.distributed.is_available() and torch.distributed.is_initialized():
            own = {name: active.cpu() for name, active in self._active.items()}
            parts = [None] * torch.distributed.get_world_size()
            torch.distributed.all_gather_object(parts, own)
        active: dict[str, Tensor] = {}
        for name, units in (item for part in parts for item in part.items()):
            active[name] = active[name] | units if name in active else units
        return {"active": active}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Keep it until the training starts."""
        self._active = dict(state_dict["active"])

    def teardown(self, trainer: lightning.Trainer, pl_module, stage: str) -> None:
        """Take the hooks away."""
        for handle in self._handles:
            handle.remove()
        self._handles = []

    def _watch(self, name: str, axis: int):
        def watch(module: nn.Module, inputs, output: Tensor) -> None:
            if not module.training or output.ndim < 2:
                return
            others = [i for i in range(output.ndim) if i != axis % output.ndim]
            active = (
                (output.detach() > 0).any(dim=others[0])
                if len(others) == 1
                else ((output.detach() > 0).sum(dim=others) > 0)
            )
            key = name
            # One module may serve several layers of different widths.
            if key in self._active and self._active[key].shape != active.shape:
                key = f"{name}[{len(active)}]"
            before = self._active.get(key)
            same = before is not None and before.shape == active.shape
            self._active[key] = before | active if same else active

        return watch


def nonlinearities(network: nn.Module) -> dict[str, tuple[nn.Module, int]]:
    """Every nonlinearity that is a module, by name, and the axis of its units."""
    found, axis = {}, -1
    for name, module in network.named_modules():
        if isinstance(module, nn.Linear):
            axis = -1
        elif isinstance(module, _ConvNd):
            axis = 1
        elif isinstance(module, ACTIVATIONS):
            found[name] = (module, axis)
    return found
