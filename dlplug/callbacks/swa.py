"""Stochastic weight averaging."""

from typing import Any

import torch
from lightning.pytorch.trainer.states import RunningStage
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from dlplug.callbacks.implicit.random_state import capture, restore
from dlplug.callbacks.network.weight_average import WeightAverage
from dlplug.errors import InvalidValueError
from dlplug.ops._averages import average_dtype


class SWA(WeightAverage):
    """Validate, keep and test the mean of the weights after each of the last epochs.

    The running statistics of BatchNorm are taken anew from the training data of all processes,
    without random transforms, before the mean is validated; that is one more forward pass for each
    such epoch.
    Until ``start`` the weights are used as they are. The learning rate is the scheduler's: it
    should stay high (``constant``) or fall and rise (``cosine_cycles``).

    Args:
        start: First epoch (from 0) after which is averaged: a share of ``trainer.max_epochs`` when
            below 1, else a number.
    Raises:
        InvalidValueError: ``start`` is out of range; at the start of a training, it comes after the
            last epoch, or another callback averages as well.
    References: Izmailov et al. 2018, arXiv:1803.05407, algorithm 1.
    """

    key = "swa"

    def __init__(self, start: float = 0.75):
        if not start >= 0 or (start >= 1 and start != int(start)):
            raise InvalidValueError(
                f"swa: start = {start} is neither a share in [0, 1) nor a number of epochs"
            )
        super().__init__()
        self.start = start
        self.num_averaged = 0
        self._is_stale = False

    def setup(self, trainer, pl_module, stage: str) -> None:
        """There is an epoch to average, only one average, and none of a training before."""
        if stage != "fit":
            return
        self.average, self.num_averaged, self._is_stale = None, 0, False
        others = [c for c in trainer.callbacks if isinstance(c, WeightAverage) and c is not self]
        if others:
            raise InvalidValueError(
                f"swa: {others[0].key} averages the weights as well", fix="leave one of them out"
            )
        epochs = trainer.max_epochs
        if epochs is None or epochs < 0:
            if self.start < 1:
                raise InvalidValueError(
                    "swa: start is a share of trainer.max_epochs, which is not set"
                )
        elif epochs and self._first(trainer) >= epochs:
            raise InvalidValueError(f"swa: start = {self.start} comes after the {epochs} epochs")

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx) -> None:
        """Take the weights into the mean after an epoch's last step."""
        is_last = trainer.fit_loop.epoch_loop.batch_progress.is_last_batch
        if not is_last or trainer.current_epoch < self._first(trainer):
            return
        self.num_averaged += 1
        if self.average is None:
            self.begin(pl_module)
        else:
            self.mix(pl_module, 1 / self.num_averaged)
        self._is_stale = self.num_averaged > 1

    def on_validation_epoch_start(self, trainer, pl_module) -> None:
        """Put the mean in the place of the weights, with statistics of its own."""
        super().on_validation_epoch_start(trainer, pl_module)
        self._refresh(trainer, pl_module)

    def on_train_epoch_end(self, trainer, pl_module) -> None:
        """Where nothing was validated the statistics are still to be taken."""
        if not self._is_stale or not norms_with_statistics(pl_module):
            return
        super().on_validation_epoch_start(trainer, pl_module)
        # As within a validation: a data module transforms the batches of the stage of training.
        stage, trainer.state.stage = trainer.state.stage, RunningStage.VALIDATING
        try:
            self._refresh(trainer, pl_module)
        finally:
            trainer.state.stage = stage
        self.on_validation_epoch_end(trainer, pl_module)

    def state_dict(self) -> dict[str, Any]:
        """Number of epochs in the mean; the weights are in `on_save_checkpoint`."""
        return {"num_averaged": self.num_averaged}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue to count."""
        self.num_averaged = state_dict["num_averaged"]

    def _first(self, trainer) -> int:
        return int(self.start * trainer.max_epochs) if self.start < 1 else int(self.start)

    def _refresh(self, trainer, pl_module) -> None:
        """Statistics for the mean, which is in the module."""
        if not self._is_stale or not norms_with_statistics(pl_module):
            return
        self._is_stale = False
        state = capture()
        take_statistics(trainer, pl_module)
        restore(state)
        for name, tensor in pl_module.state_dict().items():
            self.average[name].copy_(tensor)


def norms_with_statistics(task: nn.Module) -> list[_BatchNorm]:
    """Every BatchNorm that learns running statistics: a frozen one (see `Freeze`) keeps its own."""
    norms = [m for m in task.modules() if isinstance(m, _BatchNorm) and m.track_running_stats]
    return [
        norm
        for norm in norms
        if any(p.requires_grad for p in norm.parameters()) or not list(norm.parameters())
    ]


def take_statistics(trainer, task) -> None:
    """Let each BatchNorm's running statistics be the mean over the batches of the training data.

    Those of all processes, which have the same number of batches.
    """
    norms = {norm: norm.momentum for norm in norms_with_statistics(task)}
    modes = {module: module.training for module in task.modules()}
    task.eval()
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # the mean over all batches
        norm.train()
    source = trainer.datamodule or task
    with torch.no_grad(), trainer.precision_plugin.forward_context():
        for index, batch in enumerate(source.train_dataloader()):
            if index >= trainer.num_training_batches:
                break
            batch = trainer.strategy.batch_to_device(batch)
            is_pair = isinstance(batch, (tuple, list)) and len(batch) == 2
            task(batch[0] if is_pair else batch)
    for norm, momentum in norms.items():
        norm.momentum = momentum
        for statistic in (norm.running_mean, norm.running_var):
            own = statistic.to(average_dtype(statistic), copy=True)
            statistic.copy_(trainer.strategy.reduce(own, reduce_op="mean"))
    for module, mode in modes.items():
        module.training = mode
