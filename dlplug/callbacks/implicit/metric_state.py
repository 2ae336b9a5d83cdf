"""Save and restore what is measured over an epoch, so that a resumed one is measured whole."""

from collections.abc import Mapping
from typing import Any

import lightning
import torch
from lightning.pytorch.callbacks import Callback
from torch import Tensor
from torchmetrics import Metric

KEY = "metric_state"


class MetricState(Callback):
    """Continue the training metrics of every process where a checkpoint within an epoch left them.

    Lightning 2.6.6 saves none: the metrics of a resumed epoch would be those of its last part. It
    also writes to the loggers after it has saved, so a checkpoint holds the row that is still to
    come; whoever goes on after a kill in between can write it (see `pending_row`). And its count of
    steps, under which it logs, is one too many after SIGTERM behind a validation.
    """

    def __init__(self):
        self._loaded: list[dict[str, Any]] = []
        self._sums: dict[str, dict[str, Tensor]] = {}
        self._stepped: int | None = None

    def setup(self, trainer, pl_module, stage: str) -> None:
        """Forget a training before, and the checkpoint that was tested after it."""
        self._loaded, self._stepped = [], None

    def on_save_checkpoint(self, trainer, pl_module, checkpoint: dict[str, Any]) -> None:
        """Put the states of all processes, by rank, into the checkpoint; called in all of them."""
        states = [_states(trainer, pl_module)]
        if torch.distributed.is_available() and torch.distributed.is_initialized():
            gathered = [None] * torch.distributed.get_world_size()
            torch.distributed.all_gather_object(gathered, _on_cpu(states[0]))
            states = gathered
        row = pending_row(trainer)
        checkpoint[KEY] = {"ranks": states, "row": row, "stepped": self._stepped}

    def on_load_checkpoint(self, trainer, pl_module, checkpoint: dict[str, Any]) -> None:
        """Keep the states until the training starts."""
        state = checkpoint.get(KEY, {})
        self._loaded, self._stepped = state.get("ranks", []), state.get("stepped")

    def on_train_start(self, trainer, pl_module) -> None:
        """Set the states of the metrics; those of another number of processes are of no use."""
        if len(self._loaded) == trainer.world_size:
            state = self._loaded[trainer.global_rank]
            modules = dict(pl_module.named_modules())
            for name, saved in state["metrics"].items():
                if name in modules:
                    _restore(modules[name], saved)
            self._sums = dict(state["sums"])
        self._loaded = []

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx) -> None:
        """Log under the number of the step, whatever Lightning has counted since the last one."""
        self._count_as_stepped(trainer)

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx) -> None:
        """Add what was logged as numbers before: Lightning makes a place for it at the first."""
        loop = trainer.fit_loop.epoch_loop
        self._stepped = loop._batches_that_stepped + (not loop._should_accumulate())
        for key in self._sums.keys() & loop._results.keys():
            _combine(loop._results[key], self._sums.pop(key))

    def on_train_end(self, trainer, pl_module) -> None:
        """The test is logged under the last step, also where no batch was left after a resume."""
        self._count_as_stepped(trainer)

    def on_train_epoch_end(self, trainer, pl_module) -> None:
        """What has not been logged again is of an epoch that is over."""
        self._sums = {}

    def _count_as_stepped(self, trainer: lightning.Trainer) -> None:
        if self._stepped is not None:
            trainer.fit_loop.epoch_loop._batches_that_stepped = self._stepped


def pending_row(trainer: lightning.Trainer) -> dict[str, Any] | None:
    """What Lightning is about to log, if a training step or epoch has just ended.

    Returns:
        A row as in metrics.jsonl but without a time, its numbers as tensors; None when there is
        nothing to log.
    """
    connector = trainer._logger_connector
    is_step = connector._first_loop_iter is not None
    if not trainer.training:
        return None
    batches = trainer.fit_loop.epoch_loop.batch_progress.current
    if is_step and (
        trainer.fit_loop._should_accumulate()
        or not connector.should_update_logs
        or batches.completed == batches.ready  # it has been logged, as when SIGTERM ends it all
    ):
        return None
    values = connector.metrics["log"]
    place = {"step": trainer.global_step, "epoch": trainer.current_epoch}
    return place | values if values else None


def _states(trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> dict[str, Any]:
    """Of the metrics, and of the plain numbers that Lightning sums up; empty after an epoch."""
    loop = trainer.fit_loop.epoch_loop
    if loop._num_ready_batches_reached():
        return {"metrics": {}, "sums": {}}
    # Just after a validation within the epoch, its metrics are not reset yet.
    validated = {
        id(module)
        for result in loop.val_loop._results.values()
        if not result.is_tensor
        for module in result.value.modules()
    }
    metrics = {
        name: {"updates": module._update_count, "state": dict(module.metric_state)}
        for name, module in pl_module.named_modules()
        if isinstance(module, Metric) and module._update_count and id(module) not in validated
    }
    sums = {
        key: dict(result.metric_state)
        for key, result in loop._results.items()
        if result.is_tensor and result.meta.on_epoch and not result.has_reset
    }
    return {"metrics": metrics, "sums": sums}


def _restore(metric: Metric, saved: Mapping[str, Any]) -> None:
    for name, value in saved["state"].items():
        on_device = [v.to(metric.device) for v in value] if isinstance(value, list) else None
        setattr(metric, name, value.to(metric.device) if on_device is None else on_device)
    metric._update_count = saved["updates"]


def _combine(result: Any, saved: Mapping[str, Tensor]) -> None:
    """Put two parts of an epoch together; ``result`` is Lightning's record of the second."""
    for name, value in saved.items():
        ours = getattr(result, name)
        value = value.to(ours.device)
        is_extreme = result.meta.is_max_reduction or result.meta.is_min_reduction
        both = result.meta.reduce_fx(ours, value) if is_extreme else value + ours
        setattr(result, name, both)
    result._computed = None


def _on_cpu(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _on_cpu(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_on_cpu(item) for item in value]
    return value.cpu() if isinstance(value, Tensor) else value
