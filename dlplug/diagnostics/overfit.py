"""Learn one batch by heart: what cannot do that cannot learn anything."""

import math
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import lightning
import torch
from lightning.pytorch.callbacks import Callback
from torch import Tensor, nn

from dlplug.data.records import tensors_of
from dlplug.diagnostics.trial import Trial, size_of, to_device, untouched
from dlplug.errors import InvalidValueError
from dlplug.run.quiet import quiet

if TYPE_CHECKING:
    from dlplug.config.experiment import Experiment

# Steps between two looks at the metrics.
ROUND = 10
# Layers whose training mode is no regularisation: batch statistics, and cuDNN's backward.
KEPT_TRAINING = (nn.modules.batchnorm._NormBase, nn.RNNBase)
TURNED_OFF = "dropout and its like, data.transforms, the schedule, the callbacks"


@dataclass
class OverfitCheck:
    """How well one batch was learned.

    Args:
        ok: Whether it was learned by heart.
        steps: Optimizer steps taken.
        records: In the batch.
        first_loss: Before the first step.
        last_loss: Of the last step.
        smallest_loss: Of all steps.
        target_loss: At which the batch counts as learned.
        accuracy: On the batch in the last round, or None when the task counts none.
        reasons: What speaks against the model, the data or the settings.
        course: Step and loss, once a round.
    """

    ok: bool
    steps: int
    records: int
    first_loss: float
    last_loss: float
    smallest_loss: float
    target_loss: float
    accuracy: float | None = None
    reasons: list[str] = field(default_factory=list)
    course: list[tuple[int, float]] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)


def check_overfit(
    experiment: "Experiment", *, steps: int = 300, records: int = 32, tolerance: float = 0.02
) -> OverfitCheck:
    """Train on the first records again and again until the loss is near zero or all is right.

    Whatever makes that hard on purpose is turned off: the architecture is in evaluation mode but
    for its batch norms, and the batch is not augmented. The weight decay stays.

    Args:
        experiment: What to train.
        steps: Optimizer steps at most; >= 10.
        records: Of the first training batch, at most; >= 1.
        tolerance: Share of the first loss that counts as near zero, in (0, 1).
    Raises:
        DlplugError: a value out of range, or something does not fit.
    """
    if steps < ROUND or records < 1 or not 0 < tolerance < 1:
        raise InvalidValueError(
            f"check overfit: steps = {steps}, records = {records}, tolerance = {tolerance:g};"
            f" steps must be {ROUND} or more, records 1 or more, and tolerance in (0, 1)"
        )
    with quiet():
        trial = Trial(experiment)
        trial.check_optimises_itself("check overfit")
        batch = trial.batch(records)
        watch = Watch(tolerance)
        with untouched(trial.task):
            before = [p.detach().clone() for p in trial.task.parameters()]
            trial.fit(
                trial.trainer(steps, [watch], accumulate_grad_batches=1),
                [batch] * ROUND,
            )
            reasons = [] if watch.is_learned else find_reasons(trial, batch, watch, before)
    return OverfitCheck(
        watch.is_learned,
        len(watch.losses),
        size_of(batch),
        watch.losses[0],
        watch.losses[-1],
        min(watch.losses),
        watch.target,
        watch.accuracy,
        reasons,
        [*enumerate(watch.losses, 1)][::ROUND],
    )


class Watch(Callback):
    """Turn regularisation off, keep the losses, stop when the batch is learned."""

    def __init__(self, tolerance: float):
        self.tolerance = tolerance
        self.losses: list[float] = []
        self.accuracy: float | None = None
        self.is_learned = False

    @property
    def target(self) -> float:
        """The loss that counts as near zero."""
        return self.tolerance * abs(self.losses[0])

    def on_train_start(self, trainer: lightning.Trainer, pl_module) -> None:
        """Only now: Lightning says a word about modules that are not in training mode before."""
        for module in pl_module.modules():
            if isinstance(module, nn.RNNBase):
                module.dropout = 0.0
            # The task itself keeps its mode: some compute another loss when not training.
            if module is not pl_module and not isinstance(module, KEPT_TRAINING):
                module.training = False

    def on_train_batch_end(self, trainer: lightning.Trainer, pl_module, outputs, batch, i) -> None:
        """Keep the loss."""
        self.losses.append(float(outputs["loss"]))
        if not math.isfinite(self.losses[-1]):
            trainer.should_stop = True

    def on_train_epoch_end(self, trainer: lightning.Trainer, pl_module) -> None:
        """A round is over: look."""
        values = trainer.callback_metrics
        found = [float(v) for name, v in values.items() if name == "train_accuracy"]
        self.accuracy = found[0] if found else None
        is_small = -math.inf < self.losses[-1] <= self.target
        self.is_learned = is_small or self.accuracy == 1.0
        trainer.should_stop |= self.is_learned


def is_falling(losses: list[float]) -> bool:
    """Whether the last quarter is clearly below the one before it."""
    quarter = max(1, len(losses) // 4)
    last, before = losses[-quarter:], losses[-2 * quarter : -quarter]
    return bool(before) and sum(last) / len(last) < 0.95 * sum(before) / len(before)


def find_reasons(trial: Trial, batch: Any, watch: Watch, before: list[Tensor]) -> list[str]:
    """What may keep the model from learning the batch, most certain first.

    Args:
        trial: Its task as it is after the steps.
        batch: That was not learned.
        watch: What was seen.
        before: Parameters before the first step.
    """
    task, losses = trial.task, watch.losses
    if not all(map(math.isfinite, losses)):
        return [
            f"the loss is {losses[-1]} after {len(losses)} steps: lower optimizer.lr (tune lr"
            " suggests one), or look for inputs that are not finite"
        ]
    reasons = []
    if (count := contradictions(batch)) > 0:
        reasons.append(f"{count} records have the inputs of another one and another target")
    parameters = dict(task.named_parameters())
    if not any(p.requires_grad for p in parameters.values()):
        return [*reasons, "every parameter is frozen"]
    moved = [
        not torch.equal(old, new.detach().to(old))
        for old, new in zip(before, parameters.values(), strict=True)
    ]
    still = [name for name, has in zip(parameters, moved, strict=True) if not has]
    if not any(moved):
        reasons.append("no parameter has moved: is optimizer.lr 0, or the loss without gradient?")
    elif still:
        reasons.append(f"{names(still)} did not move: check gradients says what reaches them")
    if outputs_are_equal(task, batch):
        reasons.append(
            "the architecture gives the same output for every record: it does not use its inputs"
            " (or its activations are dead)"
        )
    if any(moved) and min(losses) > 0.98 * losses[0] > 0:
        reasons.append("the loss has hardly moved: optimizer.lr may be too low (tune lr)")
    elif is_falling(losses):
        reasons.append("the loss was still falling: give more --steps, or a larger optimizer.lr")
    elif any(moved):
        reasons.append(
            "the loss has stopped falling: try another optimizer.lr (tune lr), a wider"
            " architecture; a loss that cannot become 0, such as one with label smoothing or a"
            " prior, needs a higher --tolerance"
        )
    return reasons


def contradictions(batch: Any) -> int:
    """Records whose inputs equal an earlier record's and whose target does not."""
    if not isinstance(batch, (tuple, list)) or len(batch) != 2:
        return 0
    inputs, targets = batch
    seen: dict[bytes, bytes] = {}
    count = 0
    for record in range(size_of(batch)):
        key = b"".join(t[record].numpy().tobytes() for t in tensors_of(inputs))
        target = b"".join(t[record].numpy().tobytes() for t in tensors_of(targets))
        count += seen.setdefault(key, target) != target
    return count


@torch.no_grad()
def outputs_are_equal(task: lightning.LightningModule, batch: Any) -> bool:
    """Whether the outputs of all records are the same; False when that cannot be asked."""
    if not hasattr(task, "output_and_target") or size_of(batch) < 2:
        return False
    output, _ = task.output_and_target(to_device(batch, task.device))
    if not isinstance(output, Tensor) or output.ndim == 0:
        return False
    spread = (output.float() - output[:1].float()).abs().amax()
    return bool(spread <= 1e-6 * output.float().abs().amax())


def names(found: list[str], shown: int = 3) -> str:
    """The first names, and how many more there are."""
    more = len(found) - shown
    return ", ".join(found[:shown]) + (f" and {more} more" if more > 0 else "")
