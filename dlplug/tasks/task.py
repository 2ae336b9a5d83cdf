"""What every task shares: steps, losses and metrics by stage, and the check of a batch."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, ClassVar

import numpy as np
from torch import Tensor, nn
from torch.optim import Optimizer
from torchmetrics import Metric, MetricCollection

from dlplug.data.spec import DataSpec
from dlplug.metrics.record_mean import RecordMean
from dlplug.tasks.carried_states import CarriedStates
from dlplug.tasks.checks import call, check_supervised, naming_inputs
from dlplug.tasks.first_step import explained, require_training
from dlplug.tasks.loss_checks import check_loss
from dlplug.tasks.metric_checks import check_metrics
from dlplug.tasks.optimization import Optimization
from dlplug.tasks.sharding import shard
from dlplug.transforms.mixed import Mixed

STAGES = ("train", "val", "test")


class Task(Optimization, CarriedStates):
    """Learn from batches ``(inputs, targets)``; a subclass says what they and the outputs mean.

    Logs ``<stage>_loss`` and ``<stage>_<metric>`` for the stages train, val and test, once per
    epoch, and ``train_loss_step`` every ``trainer.log_every_n_steps``.

    Args:
        architecture: The network; called with the inputs, see `dlplug.tasks.checks.call`.
        loss: ``loss(output, target)`` giving a scalar. Batches count in a logged loss by `count`,
            or by ``loss.weight_of(target)`` where the loss has that and it is not None.
        optimizer: ``optimizer(parameters)``.
        scheduler: ``scheduler(optimizer)``, or ``scheduler(optimizer, total_steps=...)`` which is
            then stepped after every optimizer step instead of every epoch; None for a constant
            learning rate.
        metrics: By name; each stage counts in a copy of its own.
        data_spec: What the data knows about itself.
    """

    slot_defaults: ClassVar[Mapping[str, object]] = {}
    """Defaults of the config's slots, by slot: ``{"loss": "mse", "metrics": ["mae"]}``."""

    rows_are_records: ClassVar[bool] = True
    """Whether `prediction_table` has one row for each record, which then has its input's name."""

    record_column: ClassVar[str | None] = None
    """The column of `prediction_table` that counts the records of the batch, from 0, if any."""

    def __init__(
        self,
        architecture: nn.Module,
        loss: Callable,
        optimizer: Callable[..., Optimizer] | None = None,
        scheduler: Callable | None = None,
        metrics: Mapping[str, Metric] | None = None,
        data_spec: DataSpec | None = None,
    ):
        super().__init__(optimizer, scheduler)
        self.architecture = architecture
        self.loss = loss
        self.metrics = dict(metrics or {})
        self.data_spec = data_spec or DataSpec()
        self.mean_losses = nn.ModuleDict({f"{s}_": RecordMean(s == "train") for s in STAGES})
        # The prefix is the key as well: a ModuleDict cannot have the key "train".
        self.counters = nn.ModuleDict(
            {f"{s}_": MetricCollection(self.metrics, prefix=f"{s}_").clone() for s in STAGES}
        )

    @classmethod
    def complete(cls, spec: DataSpec) -> DataSpec:
        """The spec with what the task decides for architecture, loss and metrics.

        A subclass that needs arguments of its own for that names them as keyword parameters; they
        get the values of the config.

        Args:
            spec: Of the data.
        Returns:
            With ``num_outputs`` and, where it matters, ``per_position``, ``is_causal`` and
            ``quantiles``.
        Raises:
            DlplugError: the data is of no use for this task.
        """
        return spec

    def forward(self, inputs: Any) -> Any:
        """The architecture's output."""
        return call(self.architecture, inputs)

    def output_and_target(self, batch: Any) -> tuple[Any, Any]:
        """What the loss compares, for one batch."""
        inputs, target = batch
        return self(inputs), target

    def logged_names(self, stage: str) -> set[str]:
        """Names under which ``train``, ``val`` or ``test`` logs; a subclass adds its own."""
        own = {f"{stage}_loss"} | ({"train_loss_step"} if stage == "train" else set())
        return own | set(self.counters[f"{stage}_"].keys())

    def is_better_when_larger(self, name: str) -> bool | None:
        """The direction of what is logged as ``<stage>_<name>``; a subclass knows that of its own.

        Returns:
            What the metric's ``higher_is_better`` says; None where it says nothing, or there is no
            such metric.
        """
        if name == "loss":
            return False
        return getattr(self.metrics.get(name), "higher_is_better", None)

    def count(self, target: Any) -> int | Tensor:
        """Over how many records, or positions, the loss of a batch is a mean.

        A tensor where the number is on the device: nothing waits for it.
        """
        return len(target)

    def measured(self, output: Any, target: Any) -> tuple[Any, Any]:
        """What the metrics compare; without gradient."""
        return output, target

    def measured_besides(self, output: Any, batch: Any) -> dict[str, Tensor]:
        """What some metrics need besides, by parameter of their ``update``; others do not get it.

        Args:
            output: As for `measured`.
            batch: Inputs and targets.
        """
        return {}

    def predicted(self, output: Any) -> Any:
        """Predictions made of an output: a tensor ``(B, ...)``, or a list of B objects."""
        return output

    def prediction_table(self, predictions: Any) -> tuple[list[str], Iterable[list]]:
        """Columns, and one row for each record, of a batch of predictions.

        The columns are the same for every batch. Numbers are written with six digits, text as it
        is.

        Args:
            predictions: As `predicted` gives them: a tensor, or a list when their shapes differ.
        """
        return number_table(predictions)

    def prediction_arrays(self, predictions: Any) -> dict[str, np.ndarray]:
        """What of the predictions no table can show, by name; written beside it as ``.npz``.

        Args:
            predictions: Of all batches together: a tensor that lies on the disk, or a list when
                their shapes differ.
        """
        return {}

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        """Loss of a training batch."""
        # Without a trainer the step is somebody's own, such as that of a check in float64.
        is_first = self._trainer is not None and batch_idx == 0 and self.global_step == 0
        with explained(self, batch, is_first):
            loss = self._step(batch, "train")
        require_training(self, loss)
        self.log("train_loss_step", loss, on_step=True, on_epoch=False)
        return loss

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        """Count a validation batch."""
        self._step(batch, "val")

    def test_step(self, batch: Any, batch_idx: int) -> None:
        """Count a test batch."""
        self._step(batch, "test")

    def predict_step(self, batch: Any, batch_idx: int) -> Any:
        """Predictions for a batch with or without targets, on the CPU."""
        is_pair = isinstance(batch, (tuple, list)) and len(batch) == 2
        predicted = self.predicted(self(batch[0] if is_pair else batch))
        return predicted.cpu() if isinstance(predicted, Tensor) else predicted

    def check_batch(self, batch: Any) -> None:
        """Take one batch through the model and the loss, before anything is trained or written.

        Raises:
            DlplugError: names both sides of what does not fit.
        """
        check_supervised(batch, f"a {type(self).__name__} task")
        with naming_inputs(batch[0]):
            output, target = self.output_and_target(batch)
        self.check_output(output, batch)
        check_loss(self.loss_of, output, target, self.loss)
        counter = self.counters["val_"]
        if len(counter) and not is_empty(target):
            check_metrics(counter.clone(), *self._compared(output, target, batch))

    def check_output(self, output: Any, batch: Any) -> None:
        """The architecture's output, and the targets, are of the shape that the task needs.

        Raises:
            DlplugError: names both sides.
        """

    def configure_model(self) -> None:
        """Shard the parameters when Lightning's model-parallel strategy gives a mesh."""
        if self.device_mesh is None:
            return
        shard(self.architecture, self.device_mesh)
        if isinstance(self.loss, nn.Module) and any(True for _ in self.loss.parameters()):
            shard(self.loss, self.device_mesh)

    def _step(self, batch: Any, stage: str) -> Tensor:
        output, target = self.output_and_target(batch)
        loss = self.loss_of(output, target)
        if isinstance(target, Mixed):
            target = target.main
        # What is logged counts by itself; without a size Lightning would look for one in the batch.
        shared = {"on_step": False, "on_epoch": True, "batch_size": 1}
        mean_loss, counter = self.mean_losses[f"{stage}_"], self.counters[f"{stage}_"]
        mean_loss.update(loss.detach(), self._weight_of(target))
        self.log(f"{stage}_loss", mean_loss, prog_bar=True, **shared)
        if len(counter):
            self._measure(counter, output, target, batch)
            self.log_dict(counter, prog_bar=stage == "val", **shared)
        return loss

    def _weight_of(self, target: Any) -> int | Tensor:
        """How much the loss of a batch counts in that of an epoch."""
        weight_of = getattr(self.loss, "weight_of", None)
        weight = None if weight_of is None else weight_of(target)
        return self.count(target) if weight is None else weight

    def _measure(self, counter: MetricCollection, output: Any, target: Any, batch: Any) -> None:
        if len(counter) and not is_empty(target):
            output, target, besides = self._compared(output, target, batch)
            counter.update(output, target, **besides)

    def _compared(self, output: Any, target: Any, batch: Any) -> tuple[Any, Any, dict[str, Tensor]]:
        output = detached(output)
        besides = self.measured_besides(output, batch)
        return *self.measured(output, target), besides

    def loss_of(self, output: Any, target: Any) -> Tensor:
        """The loss; of mixed targets, the mean of the losses of both, weighted by their shares.

        A batch in which there is nothing to predict has the loss 0, whatever a loss makes of no
        records, and every parameter the gradient 0: processes that have targets wait for it.
        """
        if is_empty(target) and is_empty(output):
            return output.sum()
        if not isinstance(target, Mixed):
            return self.loss(output, target)
        first, second = self.loss(output, target.first), self.loss(output, target.second)
        return target.share * first + (1 - target.share) * second


def is_empty(value: Any) -> bool:
    """Whether it is a tensor without elements: no target, or no output that has one."""
    return isinstance(value, Tensor) and value.numel() == 0


def number_table(predictions: Tensor) -> tuple[list[str], list[list]]:
    """One column for each number of a prediction."""
    flat = predictions.reshape(len(predictions), -1)
    return [f"output_{i}" for i in range(flat.shape[1])], flat.tolist()


def detached(output: Any) -> Any:
    """An output without its gradient; tuples and mappings are gone through."""
    if isinstance(output, Tensor):
        return output.detach()
    if isinstance(output, Mapping):
        return {name: detached(value) for name, value in output.items()}
    return type(output)(map(detached, output)) if isinstance(output, (tuple, list)) else output
