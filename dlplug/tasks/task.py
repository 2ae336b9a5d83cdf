"""What every task shares: optimizer, schedule and sharding."""

import inspect
from collections.abc import Callable, Mapping
from typing import Any

import lightning
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import ReduceLROnPlateau
from torchmetrics import Metric

from dlplug.data.spec import DataSpec
from dlplug.errors import InvalidValueError
from dlplug.optim import weight_decay_groups
from dlplug.tasks.sharding import shard


class Task(lightning.LightningModule):
    """Base of the tasks: a subclass says what a batch means, in its ``*_step`` methods.

    Args:
        architecture: The network.
        loss: ``loss(output, target)`` giving a scalar.
        optimizer: ``optimizer(parameters)``.
        scheduler: ``scheduler(optimizer)``, or ``scheduler(optimizer, total_steps=...)`` which is
            then stepped after every optimizer step instead of every epoch; None for a constant
            learning rate.
        metrics: By name; each stage counts in a copy of its own.
        data_spec: What the data knows about itself.
    """

    def __init__(
        self,
        architecture: nn.Module,
        loss: Callable,
        optimizer: Callable[..., Optimizer] | None = None,
        scheduler: Callable | None = None,
        metrics: Mapping[str, Metric] | None = None,
        data_spec: DataSpec | None = None,
    ):
        super().__init__()
        self.architecture = architecture
        self.loss = loss
        self.make_optimizer = optimizer
        self.make_scheduler = scheduler
        self.metrics = dict(metrics or {})
        self.data_spec = data_spec or DataSpec()

    def check_batch(self, batch: Any) -> None:
        """Take one batch through the model and the loss, before anything is trained or written.

        Raises:
            DlplugError: names both sides of what does not fit.
        """

    def configure_model(self) -> None:
        """Shard the parameters when Lightning's model-parallel strategy gives a mesh."""
        if self.device_mesh is None:
            return
        shard(self.architecture, self.device_mesh)
        if isinstance(self.loss, nn.Module) and any(True for _ in self.loss.parameters()):
            shard(self.loss, self.device_mesh)

    def configure_optimizers(self):
        """The optimizer, without decay of norms and biases, and its schedule."""
        if self.make_optimizer is None:
            raise InvalidValueError(
                "no optimizer is configured", fix="set optimizer, such as adamw"
            )
        optimizer = self.make_optimizer(self._parameter_groups())
        if self.make_scheduler is None:
            return optimizer
        arguments = {}
        is_per_step = "total_steps" in inspect.signature(self.make_scheduler).parameters
        if is_per_step and "total_steps" not in getattr(self.make_scheduler, "keywords", {}):
            arguments["total_steps"] = total_steps(self.trainer)
        scheduler = self.make_scheduler(optimizer, **arguments)
        schedule = {"scheduler": scheduler, "interval": "step" if is_per_step else "epoch"}
        if isinstance(scheduler, ReduceLROnPlateau):
            schedule["monitor"] = "val_loss"
        return {"optimizer": optimizer, "lr_scheduler": schedule}

    def _parameter_groups(self):
        """Groups for an optimizer that has a weight decay, else all parameters."""
        decay = inspect.signature(self.make_optimizer).parameters.get("weight_decay")
        if decay is None or decay.default is inspect.Parameter.empty:
            return list(self.parameters())
        return weight_decay_groups(self, decay.default)


def total_steps(trainer: lightning.Trainer) -> int:
    """Optimizer steps of the whole training.

    Raises:
        InvalidValueError: the training has no end.
    """
    steps = trainer.estimated_stepping_batches
    # Lightning builds the loader to count its batches, and would then skip loading the saved
    # position of a resumed epoch (pytorch-lightning#20550, seen up to 2.6.6).
    trainer.fit_loop._combined_loader = None
    if not 0 < steps < float("inf"):
        raise InvalidValueError(
            "the scheduler needs the number of steps, and this training has no end",
            fix="set trainer.max_epochs or trainer.max_steps, or scheduler.total_steps",
        )
    return int(steps)
