"""The first training step: what fails in it is named, and something is there to be trained."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from dlplug.errors import ConfigError, DlplugError
from dlplug.tasks.checks import inputs_and_target
from dlplug.tasks.slips import CONSTANT_FIX, CUTS, is_out_of_memory
from dlplug.transforms.mixed import Mixed

if TYPE_CHECKING:
    from dlplug.tasks.task import Task


def require_training(task: "Task", loss: Tensor) -> None:
    """A training step has something to train, where Lightning would fail for want of a gradient.

    Args:
        task: In a training step.
        loss: Of its batch.
    Raises:
        ConfigError: it has not.
    """
    if loss.requires_grad or not torch.is_grad_enabled() or not task.automatic_optimization:
        return
    what, fix = "the loss of a training batch has no gradient", CONSTANT_FIX
    if not any(p.requires_grad for p in task.parameters()):
        what = "every parameter of the model is frozen"
        fix = "leave requires_grad of what is to be trained"
    elif task.global_step == 0:  # later it has had one before
        fix = f"{CUTS}; {CONSTANT_FIX}"
    raise ConfigError(what, where=f"training step {task.global_step + 1}", fix=fix)


@contextmanager
def explained(task: "Task", batch: Any, is_first: bool) -> Iterator[None]:
    """Let `Task.check_batch` name what fails in the first training step, as far as it can.

    Before the training it has looked at the network in evaluation; some give something else while
    they train.

    Args:
        task: In a training step.
        batch: Of that step.
        is_first: Whether no step was before it.
    Raises:
        DlplugError: names what does not fit.
    """
    try:
        yield
    except DlplugError:
        raise
    except Exception as error:
        if is_first and _can_be_repeated(error, batch):
            _name_misfit(task, batch)
        raise


def _name_misfit(task: "Task", batch: Any) -> None:
    try:
        with torch.no_grad():
            task.check_batch(batch)
    except DlplugError as found:
        found.where = found.where or "the first training step, the network in training mode"
        raise
    except Exception:
        return  # the step's own error tells more than one of the check


def _can_be_repeated(error: Exception, batch: Any) -> bool:
    # After an error of CUDA every call fails, wherever; the check takes no mixed targets.
    is_lasting = is_out_of_memory(error) or "CUDA error" in str(error)
    return not is_lasting and not isinstance(inputs_and_target(batch)[1], Mixed)
