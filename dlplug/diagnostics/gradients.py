"""Finite differences in float64 against autograd, and what the gradient does not reach."""

import copy
import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import lightning
import torch
from lightning_utilities.core.apply_func import apply_to_collection
from torch import Tensor, nn

from dlplug.diagnostics.trial import Trial, to_device, untouched
from dlplug.errors import ConfigError, InvalidValueError
from dlplug.run.quiet import quiet
from dlplug.tasks.checks import MISFIT

if TYPE_CHECKING:
    from dlplug.config.experiment import Experiment

# Near the cube root of float64's rounding, where a central difference is most precise.
STEP = 1e-5
# Gradients that far below the largest one of all drown in the rounding of the difference.
FLOOR = 1e-6
# Moves every weight off zero: at the start some weights are 0 on purpose, and with them the
# gradient of others; a kink such as ReLU's is then met only by chance.
SHAKE = 0.01
# A second, smaller step tells a kink from an error.
SMALLER = 0.01


@dataclass
class Compared:
    """One weight.

    Args:
        parameter: Its tensor's name.
        index: Position in it.
        autograd: Derivative of the loss.
        difference: The same by finite differences.
        error: Relative difference of the two.
    """

    parameter: str
    index: tuple[int, ...]
    autograd: float
    difference: float
    error: float


@dataclass
class GradientCheck:
    """All weights that were compared.

    Args:
        ok: Whether both agree, and the gradient reaches everything that is trained.
        worst: Per parameter tensor the weight with the largest error, worst first.
        tolerance: Largest error that is good.
        checked: Number of weights compared.
        unreached: Trained parameters without a gradient.
        zero: Trained parameters whose gradient is zero everywhere.
        frozen: Parameters that are not trained.
        reasons: What is wrong.
    """

    ok: bool
    worst: list[Compared]
    tolerance: float
    checked: int
    unreached: list[str] = field(default_factory=list)
    zero: list[str] = field(default_factory=list)
    frozen: list[str] = field(default_factory=list)
    reasons: list[str] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)


def check_gradients(
    experiment: "Experiment", *, weights: int = 3, records: int = 8, tolerance: float = 1e-4
) -> GradientCheck:
    """Compare some weights of every parameter tensor, in float64.

    The loss is the task's training loss of one batch. Random numbers (dropout, noise) are the same
    in every evaluation, so they disturb nothing. A small noise moves the weights away from special
    values such as 0 first.

    Args:
        experiment: What to look at.
        weights: Of each parameter tensor; >= 1.
        records: Of the first training batch, at most; >= 1.
        tolerance: Largest relative error that is good; > 0.
    Raises:
        DlplugError: a value out of range, or something does not fit, float64 for example.
    """
    if weights < 1 or records < 1 or not 0 < tolerance < math.inf:
        raise InvalidValueError(
            f"check gradients: weights = {weights}, records = {records}, tolerance ="
            f" {tolerance:g}; weights and records must be 1 or more, and tolerance above 0"
        )
    with quiet():
        trial = Trial(experiment)
        trial.check_optimises_itself("check gradients")
        batch = trial.batch(records)
        with untouched(trial.task):
            task = shaken(trial.task, experiment.seed)
            loss = loss_of(task, in_float64(to_device(batch, task.device)), experiment.seed)
            return compare(task, loss, weights, tolerance, experiment.seed)


def shaken(task: lightning.LightningModule, seed: int) -> lightning.LightningModule:
    """A copy in float64 whose weights are moved a little."""
    own = copy.deepcopy(task).double().train()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in own.parameters():
            noise = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
            parameter += SHAKE * noise.to(parameter.device)
    for name in ("log", "log_dict"):  # without a Trainer, Lightning warns at each call
        object.__setattr__(own, name, lambda *arguments, **named: None)
    return own


def in_float64(batch: Any) -> Any:
    """Floating-point tensors as float64."""
    return apply_to_collection(batch, Tensor, lambda t: t.double() if t.is_floating_point() else t)


def loss_of(task: lightning.LightningModule, batch: Any, seed: int) -> Callable[[], Tensor]:
    """The training loss as a function of nothing but the weights.

    Raises:
        ConfigError: when called, the model cannot compute in float64, or gives no loss.
    """
    buffers = [(buffer, buffer.clone()) for buffer in task.buffers()]

    def loss() -> Tensor:
        with torch.no_grad():
            for buffer, kept in buffers:
                buffer.copy_(kept)
        torch.manual_seed(seed)
        try:
            value = task.training_step(batch, 0)
        except MISFIT as error:
            raise ConfigError(
                f"the model cannot compute in float64: {' '.join(str(error).split())}",
                fix="let it take the dtype of its inputs and weights",
            ) from error
        value = value.get("loss") if isinstance(value, dict) else value
        if not isinstance(value, Tensor) or value.ndim:
            raise ConfigError(f"the task {type(task).__name__} returns no loss")
        return value

    return loss


def compare(
    task: nn.Module, loss: Callable[[], Tensor], weights: int, tolerance: float, seed: int = 0
) -> GradientCheck:
    """Autograd's derivatives against central differences.

    Args:
        task: Owner of the parameters, float64.
        loss: Its loss; the same value whenever the weights are the same.
        weights: To compare in each parameter tensor.
        tolerance: See `check_gradients`.
        seed: Which weights are chosen.
    """
    parameters = {name: p for name, p in task.named_parameters() if p.requires_grad}
    frozen = [name for name, p in task.named_parameters() if not p.requires_grad]
    if not parameters:
        reasons = ["every parameter is frozen"]
        return GradientCheck(False, [], tolerance, 0, frozen=frozen, reasons=reasons)
    value = loss()
    if not value.requires_grad:
        found = GradientCheck(False, [], tolerance, 0, list(parameters), frozen=frozen)
        found.reasons = ["the loss has no gradient at all: something detaches it"]
        return found
    gradients = torch.autograd.grad(value, list(parameters.values()), allow_unused=True)
    found = dict(zip(parameters, gradients, strict=True))
    unreached = [name for name, gradient in found.items() if gradient is None]
    zero = [name for name, g in found.items() if g is not None and not bool(g.any())]
    largest = max((float(g.abs().max()) for g in gradients if g is not None), default=0.0)
    generator = torch.Generator().manual_seed(seed)
    worst, checked = [], 0
    for name, parameter in parameters.items():
        gradient = found[name]
        if gradient is None:
            gradient = torch.zeros_like(parameter)
        count = min(weights, parameter.numel())
        chosen = torch.randperm(parameter.numel(), generator=generator)[:count].tolist()
        compared = [
            _compare_one(loss, name, parameter, gradient, position, FLOOR * largest, tolerance)
            for position in chosen
        ]
        checked += count
        worst.append(max(compared, key=lambda c: (math.isnan(c.error), c.error)))
    worst.sort(key=lambda c: (not math.isnan(c.error), -c.error))
    reasons = _reasons(worst, tolerance, unreached, zero, value.dtype)
    return GradientCheck(not reasons, worst, tolerance, checked, unreached, zero, frozen, reasons)


def _compare_one(
    loss: Callable[[], Tensor],
    name: str,
    parameter: Tensor,
    gradient: Tensor,
    position: int,
    floor: float,
    tolerance: float,
) -> Compared:
    index = tuple(int(i) for i in torch.unravel_index(torch.tensor(position), parameter.shape))
    analytic = float(gradient[index])
    best = None
    for factor in (1.0, SMALLER):
        numeric = _difference(loss, parameter, index, factor * STEP)
        error = abs(analytic - numeric) / max(abs(analytic), abs(numeric), floor, 1e-300)
        compared = Compared(name, index, analytic, numeric, error)
        if best is None or error < best.error or math.isnan(best.error):
            best = compared
        if error <= tolerance:
            break
    return best


@torch.no_grad()
def _difference(
    loss: Callable[[], Tensor], parameter: Tensor, index: tuple[int, ...], step: float
) -> float:
    """(loss(w + h) - loss(w - h)) / 2h at one weight, which is put back."""
    kept = parameter[index].clone()
    step *= max(1.0, abs(float(kept)))
    values = []
    for sign in (1, -1):
        parameter[index] = kept + sign * step
        values.append(float(loss()))
    parameter[index] = kept
    return (values[0] - values[1]) / (2 * step)


def _reasons(
    worst: list[Compared],
    tolerance: float,
    unreached: list[str],
    zero: list[str],
    dtype: torch.dtype,
) -> list[str]:
    reasons = []
    bad = [c.parameter for c in worst if not c.error <= tolerance]
    if dtype != torch.float64:
        reasons.append(
            f"the loss is {str(dtype).removeprefix('torch.')} though weights and inputs are"
            " float64: something casts, and the differences are too coarse to tell more"
        )
    elif bad:
        reasons.append(
            f"autograd disagrees with finite differences in {', '.join(bad)}: a custom backward is"
            " wrong, or a value was detached or changed on the way (on purpose, if the"
            " architecture uses a straight-through or stopped gradient)"
        )
    if unreached:
        reasons.append(
            f"no gradient reaches {', '.join(unreached)}: not used in the loss, or detached;"
            " freeze or remove what is not meant to learn"
        )
    if zero:
        reasons.append(
            f"the gradient is zero everywhere in {', '.join(zero)}: dead units, a saturated"
            " activation, or an input that is always 0"
        )
    return reasons
