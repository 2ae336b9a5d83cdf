"""How a task trains: parameter groups, optimizer, learning-rate schedule, clipping."""

import inspect
import logging
import math
from collections.abc import Callable
from typing import Any

import lightning
from lightning.pytorch.callbacks import GradientAccumulationScheduler as AccumulationScheduler
from lightning.pytorch.strategies import FSDPStrategy
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import ReduceLROnPlateau

from dlplug.callbacks.numbers.monitor import missing_metric
from dlplug.errors import ConfigError, InvalidValueError
from dlplug.optim import weight_decay_groups
from dlplug.optim._scaling import Scaling
from dlplug.tasks.slips import MADE_EARLY

logger = logging.getLogger("dlplug.tasks")

# Epochs between two steps, for a scheduler that the task steps itself.
NEVER = 10**9
# Of the training that a trial run stands for: longer than any warm-up that is meant.
TRIAL_STEPS = 10**9


class Optimization(lightning.LightningModule):
    """One optimizer, and a schedule of its learning rate.

    Args:
        optimizer: ``optimizer(parameters)``; None for what is not trained.
        scheduler: See `Task`.
    """

    _clips_in_step = False  # the optimizer's limit is the one that the trainer has given it

    def __init__(self, optimizer: Callable[..., Optimizer] | None, scheduler: Callable | None):
        super().__init__()
        self.make_optimizer = optimizer
        self.make_scheduler = scheduler
        self.make_groups: Callable[[nn.Module, float], list[dict]] = weight_decay_groups
        """Parameter groups for an optimizer with weight decay; a callback may set another."""

    def configure_optimizers(self):
        """The optimizer, without decay of norms and biases, and its schedule."""
        if self.make_optimizer is None:
            raise InvalidValueError(
                "no optimizer is configured", fix="set optimizer, such as adamw"
            )
        if next(self.parameters(), None) is None:
            raise ConfigError("the model has no parameters to train", fix=MADE_EARLY)
        optimizer = self.make_optimizer(self._parameter_groups())
        self._refuse_two_limits(optimizer)
        self._clips_in_step = False
        if self.make_scheduler is None:
            self._show_scheduler(None)
            return optimizer
        arguments = {}
        is_per_step = "total_steps" in inspect.signature(self.make_scheduler).parameters
        if is_per_step and "total_steps" not in getattr(self.make_scheduler, "keywords", {}):
            arguments["total_steps"] = total_steps(self.trainer)
        scheduler = self.make_scheduler(optimizer, **arguments)
        self._show_scheduler(scheduler)
        schedule = {"scheduler": scheduler, "interval": "step" if is_per_step else "epoch"}
        if isinstance(scheduler, ReduceLROnPlateau):
            schedule["monitor"] = getattr(scheduler, "monitor", "val_loss")
            # Lightning 2.6.6 would step it after the checkpoint, and a resume would lose a step.
            schedule["frequency"] = NEVER
        return {"optimizer": optimizer, "lr_scheduler": schedule}

    def _refuse_two_limits(self, optimizer: Optimizer) -> None:
        own = getattr(optimizer, "max_grad_norm", None)
        clip = getattr(self._trainer, "gradient_clip_val", None)
        if own is not None and clip:
            raise InvalidValueError(
                f"gradients cannot be clipped twice: trainer.gradient_clip_val = {clip},"
                f" optimizer.max_grad_norm = {own}",
                fix="keep one of them",
            )

    def _show_scheduler(self, scheduler: Any) -> None:
        """Let the callbacks that need a certain one refuse another, before anything is written."""
        for callback in getattr(self._trainer, "callbacks", ()):
            if hasattr(callback, "check_scheduler"):
                callback.check_scheduler(scheduler)

    def configure_gradient_clipping(
        self, optimizer, gradient_clip_val=None, gradient_clip_algorithm=None
    ) -> None:
        """Clip by norm within the step of an optimizer that can: a pass over gradients less."""
        is_by_norm = bool(gradient_clip_val) and gradient_clip_algorithm in (None, "norm")
        # Its shards are plain tensors: the norm of one process's is not that of all.
        is_sharded = isinstance(self.trainer.strategy, FSDPStrategy)
        if is_by_norm and isinstance(optimizer, Scaling) and not is_sharded:
            if optimizer.max_grad_norm is None and self.trainer.is_global_zero:
                logger.info("gradient_clip_val: the optimizer's step clips")
            optimizer.max_grad_norm, self._clips_in_step = float(gradient_clip_val), True
        else:
            if self._clips_in_step:  # until a callback changed the trainer's
                optimizer.max_grad_norm, self._clips_in_step = None, False
            super().configure_gradient_clipping(
                optimizer, gradient_clip_val, gradient_clip_algorithm
            )

    def on_train_epoch_end(self) -> None:
        """Tell a scheduler that watches a metric, before a checkpoint is written.

        Raises:
            InvalidValueError: the metric is not logged.
        """
        trainer = self.trainer
        for configured in trainer.lr_scheduler_configs:
            monitor, every = configured.monitor, trainer.check_val_every_n_epoch or 1
            if not configured.reduce_on_plateau or configured.frequency != NEVER:
                continue
            if monitor.startswith("val_") and (trainer.current_epoch + 1) % every:
                continue
            if monitor not in trainer.callback_metrics:
                raise missing_metric("scheduler", monitor, trainer.callback_metrics)
            configured.scheduler.step(trainer.callback_metrics[monitor])

    def _parameter_groups(self):
        """Groups, with a decay of their own where the optimizer has one."""
        decay = inspect.signature(self.make_optimizer).parameters.get("weight_decay")
        if decay is not None and decay.default is not inspect.Parameter.empty:
            return self.make_groups(self, decay.default)
        if self.make_groups is weight_decay_groups:
            return list(self.parameters())
        groups = self.make_groups(self, 0.0)
        return [{k: v for k, v in group.items() if k != "weight_decay"} for group in groups]


def total_steps(trainer: lightning.Trainer) -> int:
    """Optimizer steps of the whole training.

    Raises:
        InvalidValueError: the training has no end.
    """
    if trainer.fast_dev_run:
        # A trial of one step of what would be a long training.
        return TRIAL_STEPS
    steps = trainer.estimated_stepping_batches
    schedule = next((c for c in trainer.callbacks if isinstance(c, AccumulationScheduler)), None)
    if schedule is not None and trainer.max_epochs > 0 and trainer.num_training_batches < math.inf:
        # Lightning 2.6.6 counts as if the accumulation of now held for all epochs.
        factors = map(schedule.get_accumulate_grad_batches, range(trainer.max_epochs))
        steps = sum(math.ceil(trainer.num_training_batches / factor) for factor in factors)
        steps = min(steps, trainer.max_steps) if trainer.max_steps != -1 else steps
    # Lightning builds the loader to count its batches, and would then skip loading the saved
    # position of a resumed epoch (pytorch-lightning#20550, seen up to 2.6.6).
    trainer.fit_loop._combined_loader = None
    if not 0 < steps < float("inf"):
        raise InvalidValueError(
            "the scheduler needs the number of steps, and this training has no end",
            fix="set trainer.max_epochs or trainer.max_steps, or scheduler.total_steps",
        )
    return int(steps)
