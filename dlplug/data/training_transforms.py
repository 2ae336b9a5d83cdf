"""Transforms on a training batch, and errors that name the one which fails."""

from collections.abc import Callable, Iterable
from typing import Any

import torch

from dlplug.errors import DlplugError, InvalidValueError
from dlplug.tasks.checks import MISFIT, describe
from dlplug.transforms.mixed import Mixed


def apply_transforms(transforms: Iterable[Callable], batch: Any) -> tuple[Any, Any]:
    """A training batch after all transforms.

    Args:
        transforms: Called on the inputs, one after the other; one whose class says
            ``takes_targets = True`` is called on inputs and targets, and gives both.
        batch: Inputs and targets.
    Returns:
        Inputs and targets.
    Raises:
        InvalidValueError: a transform cannot take the batch, or one of targets follows one that
            mixes them.
    """
    inputs, targets = batch
    for transform in transforms:
        takes_targets = getattr(transform, "takes_targets", False)
        if takes_targets and isinstance(targets, Mixed):
            raise InvalidValueError(
                f"data.transforms: {type(transform).__name__} follows a transform that"
                " mixes records",
                fix="put mixup or cutmix last, and one of them only",
            )
        try:
            if takes_targets:
                inputs, targets = transform(inputs, targets)
            else:
                inputs = transform(inputs)
        except (DlplugError, torch.OutOfMemoryError):
            raise
        except (*MISFIT, AttributeError) as error:
            raise InvalidValueError(
                f"data.transforms: {type(transform).__name__} cannot take the inputs"
                f" {describe(inputs)} and targets {describe(targets)}: {error}",
                fix="take it out of data.transforms, or use data that it is made for",
            ) from error
    return inputs, targets
