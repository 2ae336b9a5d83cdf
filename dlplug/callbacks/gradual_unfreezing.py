"""Train from the head downwards."""

import lightning
from lightning.pytorch.callbacks import Callback
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from dlplug.callbacks.freeze import check_anything_left, evaluate
from dlplug.callbacks.network.learning_rates import scale_rates
from dlplug.callbacks.network.patterns import (
    architecture_of,
    check_patterns,
    matches,
    parameters_matching,
)
from dlplug.errors import InvalidValueError


class GradualUnfreezing(Callback):
    """Freeze parts until an epoch each; parts that come later learn at lower rates.

    What no pattern matches is trained from the start, at the optimizer's rate. For a network whose
    ``head`` is new::

        callbacks:
          - {name: pretrained, checkpoint: runs/old/1, replace: [head]}
          - name: gradual_unfreezing
            schedule: {"blocks.[45]": 1, "blocks.[0-3]": 3, embed: 5}
            lr_decay: 0.4

    Several processes (DDP) need ``trainer.strategy: ddp_find_unused_parameters_true``.

    Args:
        schedule: Epoch (from 0) before which it is frozen, by pattern; see `Freeze`.
        lr_decay: Factor of the learning rate from one epoch of the schedule to the next, in
            ``(0, 1]``; 2.6 times smaller in the reference.
    Raises:
        InvalidValueError: a value out of range; at the start of a training, a pattern that matches
            nothing, or a parameter that two match.
    References: Howard, Ruder 2018, arXiv:1801.06146, sections 3.2 and 3.3.
    """

    def __init__(self, schedule: dict[str, int], lr_decay: float = 1.0):
        check_patterns("gradual_unfreezing", schedule, "schedule")
        for pattern, epoch in schedule.items():
            if isinstance(epoch, bool) or not isinstance(epoch, int) or epoch < 1:
                raise InvalidValueError(
                    f"gradual_unfreezing: epoch {epoch!r} for {pattern!r}", known="1, 2, ..."
                )
        if not 0 < lr_decay <= 1:
            raise InvalidValueError(f"gradual_unfreezing: lr_decay = {lr_decay} is not in (0, 1]")
        self.schedule = dict(schedule)
        self.lr_decay = lr_decay
        self._names: dict[str, int] = {}
        self._norms: dict[nn.Module, int] = {}

    def setup(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, stage: str
    ) -> None:
        """Freeze, and set the rates, before the optimizer is built."""
        if stage != "fit":
            return
        network = architecture_of(pl_module)
        prefix = "" if network is pl_module else "architecture."
        patterns: dict[str, str] = {}
        for pattern in self.schedule:
            for name in parameters_matching(network, pattern, "gradual_unfreezing"):
                if name in patterns:
                    raise InvalidValueError(
                        f"gradual_unfreezing: {name} is meant by {patterns[name]!r} and {pattern!r}"
                    )
                patterns[name] = pattern
        self._names = {prefix + name: self.schedule[p] for name, p in patterns.items()}
        self._norms = {
            module: epoch
            for name, module in network.named_modules()
            if isinstance(module, _BatchNorm)
            for pattern, epoch in self.schedule.items()
            if matches(name, pattern)
        }
        for name, parameter in pl_module.named_parameters():
            if name in self._names:
                parameter.requires_grad_(False)
        check_anything_left(pl_module, "gradual_unfreezing")
        if self.lr_decay < 1:
            stages = [0, *sorted(set(self.schedule.values()))]
            scale_rates(
                pl_module,
                lambda name: self.lr_decay ** stages.index(self._names.get(name, 0)),
                "gradual_unfreezing",
            )

    def on_train_start(self, trainer, pl_module) -> None:
        """A resumed training may begin within an epoch."""
        self._unfreeze(trainer, pl_module)

    def on_train_epoch_start(self, trainer, pl_module) -> None:
        """Unfreeze what the epoch says."""
        self._unfreeze(trainer, pl_module)

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx) -> None:
        """A frozen BatchNorm uses its running statistics."""
        evaluate(m for m, epoch in self._norms.items() if trainer.current_epoch < epoch)

    def _unfreeze(self, trainer: lightning.Trainer, task: lightning.LightningModule) -> None:
        for name, parameter in task.named_parameters():
            if name in self._names and self._names[name] <= trainer.current_epoch:
                parameter.requires_grad_(True)
        for module, epoch in self._norms.items():
            if epoch <= trainer.current_epoch:
                module.train()
