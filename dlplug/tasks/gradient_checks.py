"""The gradient of a batch's loss, before it is trained on: it exists, and reaches a parameter."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

import torch
from lightning_utilities.core.apply_func import apply_to_collection
from torch import Tensor, nn

from dlplug.errors import ConfigError, DlplugError
from dlplug.tasks.checks import SHOWN, describe, naming_inputs
from dlplug.tasks.loss_checks import check_loss, place_of_loss
from dlplug.tasks.slips import remedy, told
from dlplug.transforms.mixed import Mixed

if TYPE_CHECKING:
    from dlplug.tasks.task import Task

MADE_EARLY = (
    "make layers and nn.Parameter in __init__, where the optimizer finds them, not in forward; keep"
    " lists of layers in nn.ModuleList"
)
FEW = 2
"""Records that tell whether there is a gradient: what a pass keeps for it takes memory."""


def check_gradient(task: "Task", batch: Any, reaches: bool = True) -> None:
    """The loss of a batch has a gradient, which some parameter gets; none is kept.

    Args:
        task: Has parameters to train.
        batch: Inputs and targets.
        reaches: Whether to compute it; else only whether there is one.
    Raises:
        ConfigError: it has none, or computing it fails.
    """
    before = dict(task.named_parameters())
    trained = [p for p in before.values() if p.requires_grad]
    try:
        with torch.enable_grad():
            with naming_inputs(_pair(batch)[0]):
                output, target = task.output_and_target(batch)
            loss = check_loss(task.loss_of, output, target, task.loss)
            require_gradient(loss, output, task.loss)
            require_own_weights(output, task)
            gradients = _gradients(loss, trained) if reaches else trained
    finally:
        # What modules keep of a pass to look at, such as attention weights, must not belong to a
        # graph: nothing could copy such a module.
        with torch.no_grad(), suppress(Exception):
            task.loss_of(*task.output_and_target(batch))
    for name, parameter in task.named_parameters():
        if before.get(name, parameter) is not parameter:
            raise ConfigError(f"forward makes the parameter {name} anew", fix=MADE_EARLY)
    if all(gradient is None for gradient in gradients):
        raise ConfigError(
            "the gradient of the loss reaches no parameter of the model",
            fix=MADE_EARLY,
        )


def require_gradient(loss: Tensor, output: Any, function: Callable) -> None:
    """A training can go on from this loss.

    Args:
        loss: Computed with gradients enabled.
        output: The architecture's.
        function: That gave the loss.
    Raises:
        ConfigError: nothing that it is made of needs a gradient.
    """
    if loss.requires_grad:
        return
    if any(tensor.requires_grad for tensor in _tensors(output)):
        raise ConfigError(
            "the loss does not depend on the output in a way that PyTorch can follow",
            where=place_of_loss(function),
            fix="compute it from the output by differentiable operations: argmax, rounding,"
            " .detach(), .data, .item() and torch.tensor(...) cut the gradient",
        )
    raise ConfigError(
        f"the architecture's output {describe(output)} does not depend on its parameters in a way"
        " that PyTorch can follow",
        fix="use a parameter that is not frozen in forward: .detach(), .data, torch.no_grad() and"
        " torch.tensor(...) cut the gradient",
    )


def require_training(task: "Task", loss: Tensor) -> None:
    """A training step has something to train, where Lightning would fail for want of a gradient.

    Raises:
        ConfigError: it has not.
    """
    if loss.requires_grad or not torch.is_grad_enabled() or not task.automatic_optimization:
        return
    is_frozen = not any(p.requires_grad for p in task.parameters())
    raise ConfigError(
        "every parameter of the model is frozen"
        if is_frozen
        else "the loss of a training batch has no gradient",
        where=f"training step {task.global_step + 1}",
        fix="leave requires_grad of what is to be trained"
        if is_frozen
        else ".detach(), .data, torch.no_grad() and torch.tensor(...) cut the gradient",
    )


@contextmanager
def explained(task: "Task", batch: Any, is_first: bool) -> Iterator[None]:
    """Let `Task.check_batch` name what fails in the first training step, as far as it can.

    Before the training it has looked at the network in evaluation; some give something else while
    they train.

    Raises:
        DlplugError: names what does not fit.
    """
    try:
        yield
    except DlplugError:
        raise
    except Exception as error:
        is_told = is_first and not isinstance(error, torch.OutOfMemoryError)
        if is_told and not isinstance(_pair(batch)[1], Mixed):  # the check takes no mixed targets
            try:
                with torch.no_grad():
                    task.check_batch(batch)
            except DlplugError as found:
                found.where = found.where or "the first training step, the network in training mode"
                raise
        raise


def require_own_weights(output: Any, model: nn.Module) -> None:
    """The weights that an output depends on are the model's, so that the optimizer gets them.

    Raises:
        ConfigError: some are not.
    """
    if strays := strays_of(output, model):
        shapes = ", ".join(str(tuple(parameter.shape)) for parameter in strays[:SHOWN])
        raise ConfigError(
            f"{len(strays)} weights that the architecture's output depends on are no parameters of"
            f" the model: {shapes}",
            fix=f"{MADE_EARLY}; what is to stay as it is gets requires_grad_(False)",
        )


def strays_of(output: Any, model: nn.Module) -> list[nn.Parameter]:
    """The parameters that an output has gradients for, and that are none of the model's."""
    own = {id(parameter) for parameter in model.parameters()}
    found: list[nn.Parameter] = []
    seen, waiting = set(), [tensor.grad_fn for tensor in _tensors(output)]
    while waiting:
        node = waiting.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        waiting += [following for following, _ in node.next_functions]
        leaf = getattr(node, "variable", None)  # of what accumulates a gradient
        if isinstance(leaf, nn.Parameter) and id(leaf) not in own:
            found.append(leaf)
    return found


def few_of(batch: Any) -> Any:
    """The first records of a batch; all of it where its tensors are not of one length."""
    if len({len(tensor) if tensor.ndim else 0 for tensor in _tensors(batch)}) != 1:
        return batch
    return apply_to_collection(batch, Tensor, lambda tensor: tensor[:FEW])


def _tensors(value: Any) -> list[Tensor]:
    found: list[Tensor] = []
    apply_to_collection(value, Tensor, found.append)
    return found


def _pair(batch: Any) -> tuple[Any, Any]:
    """Inputs and targets; a task of somebody's may have batches of another form."""
    return tuple(batch) if isinstance(batch, (tuple, list)) and len(batch) == 2 else (batch, None)


def _gradients(loss: Tensor, parameters: list[Tensor]) -> tuple[Tensor | None, ...]:
    try:
        return torch.autograd.grad(loss, parameters, allow_unused=True)
    except Exception as error:
        raise ConfigError(
            f"the gradient of the loss cannot be computed: {told(error)}",
            fix=remedy(error) or "--trainer.detect_anomaly true names the operation",
        ) from error
