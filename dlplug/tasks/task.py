"""What every task shares: steps, losses and metrics by stage, optimizer, schedule, sharding."""

import inspect
import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any, ClassVar

import lightning
import numpy as np
from lightning.pytorch.callbacks import GradientAccumulationScheduler as AccumulationScheduler
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import ReduceLROnPlateau
from torchmetrics import Metric, MetricCollection

from dlplug.callbacks.monitor import missing_metric
from dlplug.data.spec import DataSpec
from dlplug.errors import ConfigError, InvalidValueError
from dlplug.metrics.record_mean import RecordMean
from dlplug.optim import FusedAdamW, weight_decay_groups
from dlplug.tasks.carried_states import KEY as CARRIED
from dlplug.tasks.carried_states import carried_states, restore_states
from dlplug.tasks.checks import MISFIT, call, check_supervised, describe, naming_inputs
from dlplug.tasks.sharding import shard
from dlplug.transforms.mixed import Mixed

STAGES = ("train", "val", "test")
# Of the training that a trial run stands for: longer than any warm-up that is meant.
TRIAL_STEPS = 10**9
# Epochs between two steps, for a scheduler that the task steps itself.
NEVER = 10**9


class Task(lightning.LightningModule):
    """Learn from batches ``(inputs, targets)``; a subclass says what they and the outputs mean.

    Logs ``<stage>_loss`` and ``<stage>_<metric>`` for the stages train, val and test, once per
    epoch, and ``train_loss_step`` every ``trainer.log_every_n_steps``.

    Args:
        architecture: The network; called with the inputs, see `dlplug.tasks.checks.call`.
        loss: ``loss(output, target)`` giving a scalar.
        optimizer: ``optimizer(parameters)``.
        scheduler: ``scheduler(optimizer)``, or ``scheduler(optimizer, total_steps=...)`` which is
            then stepped after every optimizer step instead of every epoch; None for a constant
            learning rate.
        metrics: By name; each stage counts in a copy of its own.
        data_spec: What the data knows about itself.
    """

    slot_defaults: ClassVar[Mapping[str, object]] = {}
    """Defaults of the config's slots, by slot: ``{"loss": "mse", "metrics": ["mae"]}``."""

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
        self.make_groups: Callable[[nn.Module, float], list[dict]] = weight_decay_groups
        """Parameter groups for an optimizer with weight decay; a callback may set another."""
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
        """Columns, and one row for each record, of all predictions.

        Args:
            predictions: As `predicted` gives them, of all batches together: a tensor, or a list
                when their shapes differ.
        """
        return number_table(predictions)

    def prediction_arrays(self, predictions: Any) -> dict[str, np.ndarray]:
        """What of the predictions no table can show, by name; written beside it as ``.npz``."""
        return {}

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        """Loss of a training batch."""
        loss = self._step(batch, "train")
        self.log("train_loss_step", loss, on_step=True, on_epoch=False)
        return loss

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        """Count a validation batch."""
        self._step(batch, "val")

    def test_step(self, batch: Any, batch_idx: int) -> None:
        """Count a test batch."""
        self._step(batch, "test")

    def reset_states(self) -> None:
        """Let every network that carries a state from batch to batch start anew.

        Those are the modules with a ``reset_state()``, which forgets the state of the present
        mode, training or evaluation.
        """
        for module in self.modules():
            if hasattr(module, "reset_state"):
                module.reset_state()

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Save the states that the next training batch goes on from."""
        states = carried_states(self)
        if states is not None:
            checkpoint[CARRIED] = states

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Go on from the saved states; an epoch that starts anew resets them."""
        if CARRIED in checkpoint and self._trainer is not None:
            rank, processes = self.trainer.global_rank, self.trainer.world_size
            restore_states(self, checkpoint[CARRIED], rank, processes)

    def on_train_epoch_start(self) -> None:
        """The first batch of an epoch follows none."""
        self.reset_states()

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

    def on_validation_epoch_start(self) -> None:
        """As `on_train_epoch_start`."""
        self.reset_states()

    def on_test_epoch_start(self) -> None:
        """As `on_train_epoch_start`."""
        self.reset_states()

    def on_predict_batch_start(self, *_: Any) -> None:
        """Predictions are of records by themselves: no batch of them follows another."""
        self.reset_states()

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
        self.check_loss(output, target)
        # A metric that wants what this task does not give says so now.
        self._measure(self.counters["val_"].clone(), output, target, batch)

    def check_output(self, output: Any, batch: Any) -> None:
        """The architecture's output, and the targets, are of the shape that the task needs.

        Raises:
            DlplugError: names both sides.
        """

    def check_loss(self, output: Any, target: Any) -> None:
        """The loss can be taken, and is one number.

        Raises:
            ConfigError: it is not.
        """
        try:
            loss = self.loss_of(output, target)
        except MISFIT as error:
            raise ConfigError(
                f"the loss cannot compare the output {describe(output)} with the target"
                f" {describe(target)}: {error}",
                fix="choose a loss for this task: python -m dlplug plugins list --kind losses",
            ) from error
        if not isinstance(loss, Tensor) or loss.ndim != 0:
            raise ConfigError(
                f"the loss gives {describe(loss)} for the output {describe(output)}",
                known="a scalar tensor",
            )

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

    def _show_scheduler(self, scheduler: Any) -> None:
        """Let the callbacks that need a certain one refuse another, before anything is written."""
        for callback in getattr(self._trainer, "callbacks", ()):
            if hasattr(callback, "check_scheduler"):
                callback.check_scheduler(scheduler)

    def configure_gradient_clipping(
        self, optimizer, gradient_clip_val=None, gradient_clip_algorithm=None
    ) -> None:
        """Clip by norm within the step of FusedAdamW, which saves a pass over the gradients."""
        is_by_norm = bool(gradient_clip_val) and gradient_clip_algorithm in (None, "norm")
        if is_by_norm and isinstance(optimizer, FusedAdamW):
            optimizer.max_grad_norm = float(gradient_clip_val)
        else:
            super().configure_gradient_clipping(
                optimizer, gradient_clip_val, gradient_clip_algorithm
            )

    def _step(self, batch: Any, stage: str) -> Tensor:
        output, target = self.output_and_target(batch)
        loss = self.loss_of(output, target)
        if isinstance(target, Mixed):
            target = target.main
        count = self.count(target)
        # What is logged counts by itself; without a size Lightning would look for one in the batch.
        shared = {"on_step": False, "on_epoch": True, "batch_size": 1}
        mean_loss, counter = self.mean_losses[f"{stage}_"], self.counters[f"{stage}_"]
        mean_loss.update(loss.detach(), count)
        self.log(f"{stage}_loss", mean_loss, prog_bar=True, **shared)
        if len(counter):
            self._measure(counter, output, target, batch)
            self.log_dict(counter, prog_bar=stage == "val", **shared)
        return loss

    def _measure(self, counter: MetricCollection, output: Any, target: Any, batch: Any) -> None:
        if len(counter) and not is_empty(target):
            output = detached(output)
            besides = self.measured_besides(output, batch)
            counter.update(*self.measured(output, target), **besides)

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

    def _parameter_groups(self):
        """Groups, with a decay of their own where the optimizer has one."""
        decay = inspect.signature(self.make_optimizer).parameters.get("weight_decay")
        if decay is not None and decay.default is not inspect.Parameter.empty:
            return self.make_groups(self, decay.default)
        if self.make_groups is weight_decay_groups:
            return list(self.parameters())
        groups = self.make_groups(self, 0.0)
        return [{k: v for k, v in group.items() if k != "weight_decay"} for group in groups]


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
