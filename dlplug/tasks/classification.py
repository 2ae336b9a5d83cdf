"""One class for each record."""

from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor, nn
from torch.optim import Optimizer
from torchmetrics import Metric, MetricCollection

from dlplug.data.spec import DataSpec
from dlplug.errors import ConfigError, DataError
from dlplug.metrics.record_mean import RecordMean
from dlplug.tasks.task import Task


class Classification(Task):
    """Learn the class of each record from batches ``(inputs, labels)``.

    Logs ``<stage>_loss`` and ``<stage>_<metric>`` for the stages train, val and test, once per
    epoch, and ``train_loss_step`` every ``trainer.log_every_n_steps``.

    Args:
        architecture: Inputs ``(B, ...)`` to scores ``(B, C)``.
        loss: ``loss(scores, labels)`` giving a scalar.
        optimizer: ``optimizer(parameters)``.
        scheduler: See `Task`.
        metrics: By name, of probabilities ``(B, C)`` and labels ``(B,)``.
        data_spec: ``num_classes`` is C.
    """

    def __init__(
        self,
        architecture: nn.Module,
        loss: Callable[[Tensor, Tensor], Tensor],
        optimizer: Callable[..., Optimizer] | None = None,
        scheduler: Callable | None = None,
        metrics: Mapping[str, Metric] | None = None,
        data_spec: DataSpec | None = None,
    ):
        super().__init__(architecture, loss, optimizer, scheduler, metrics, data_spec)
        self.mean_losses = nn.ModuleDict({f"{s}_": RecordMean() for s in STAGES})
        # The prefix is the key as well: a ModuleDict cannot have the key "train".
        self.counters = nn.ModuleDict(
            {f"{s}_": MetricCollection(self.metrics, prefix=f"{s}_").clone() for s in STAGES}
        )

    def forward(self, inputs: Tensor) -> Tensor:
        """Scores ``(B, C)``."""
        return self.architecture(inputs)

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        """Loss of a training batch."""
        loss = self._step(batch, "train")
        self.log("train_loss_step", loss, on_step=True, on_epoch=False)
        return loss

    def validation_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        """Count a validation batch."""
        self._step(batch, "val")

    def test_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        """Count a test batch."""
        self._step(batch, "test")

    def predict_step(self, batch: Any, batch_idx: int) -> Tensor:
        """Probabilities ``(B, C)``, float32 or float64, on the CPU."""
        inputs = batch[0] if isinstance(batch, (tuple, list)) else batch
        return probabilities(self(inputs)).cpu()

    def check_batch(self, batch: Any) -> None:
        """See `Task.check_batch`."""
        if not isinstance(batch, (tuple, list)) or len(batch) != 2:
            raise DataError(
                f"a classification needs batches (inputs, labels), the data gives {describe(batch)}"
            )
        inputs, labels = batch
        try:
            scores = self(inputs)
        except (RuntimeError, ValueError, TypeError, IndexError) as error:
            raise ConfigError(
                f"the architecture cannot take the data's inputs {describe(inputs)}: {error}",
                fix="an architecture for features needs rows (B, D), one for images (B, C, H, W);"
                " some data can give either, such as digits with data.flatten",
            ) from error
        count = self.data_spec.num_classes
        if scores.ndim != 2 or len(scores) != len(inputs):
            raise ConfigError(
                f"the architecture gives {describe(scores)} for inputs {describe(inputs)}",
                known="scores (B, C), one row for each record",
            )
        if count is not None and scores.shape[1] != count:
            raise ConfigError(
                f"the architecture gives {scores.shape[1]} scores, the data has {count} classes",
                fix="leave out the number of classes: it is filled in from the data",
            )
        wrong = (labels < 0) | (labels >= scores.shape[1])
        if wrong.any():
            raise DataError(
                f"label {int(labels[wrong][0])} for an architecture of {scores.shape[1]} scores"
            )
        loss = self.loss(scores, labels)
        if not isinstance(loss, Tensor) or loss.ndim != 0:
            raise ConfigError(
                f"the loss gives {describe(loss)} for scores {describe(scores)}",
                known="a scalar tensor",
            )

    def _step(self, batch: tuple[Tensor, Tensor], stage: str) -> Tensor:
        inputs, labels = batch
        scores = self(inputs)
        loss = self.loss(scores, labels)
        shared = {"on_step": False, "on_epoch": True, "batch_size": len(labels)}
        mean_loss, counter = self.mean_losses[f"{stage}_"], self.counters[f"{stage}_"]
        mean_loss.update(loss.detach(), len(labels))
        self.log(f"{stage}_loss", mean_loss, prog_bar=True, **shared)
        counter.update(probabilities(scores.detach()), labels)
        if len(counter):
            self.log_dict(counter, prog_bar=stage == "val", **shared)
        return loss


STAGES = ("train", "val", "test")


def probabilities(scores: Tensor) -> Tensor:
    """Softmax of scores ``(B, C)``; half precision is raised to float32 first."""
    return (scores if scores.element_size() > 4 else scores.float()).softmax(dim=-1)


def describe(value: Any) -> str:
    """Shape and dtype of a tensor, or the type of anything else."""
    if isinstance(value, Tensor):
        return f"{tuple(value.shape)} {str(value.dtype).removeprefix('torch.')}"
    if isinstance(value, (tuple, list)):
        return f"({', '.join(describe(item) for item in value)})"
    return type(value).__name__
