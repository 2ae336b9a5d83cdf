"""A step of an optimizer whose last one was of the very same tensors."""

from collections.abc import Sequence

from torch import Tensor
from torch.optim import Optimizer

from tests.fuzz.dice import Placed
from tests.fuzz.former import undone


def take_known_step(
    optimizer: Optimizer, params: Sequence[Tensor], grads: Sequence[Tensor], inputs: list[Placed]
) -> bool:
    """Whether it was taken as such; else nothing was changed.

    Args:
        optimizer: With the states of the parameters, before any step.
        params: Its own, in any groups.
        grads: Of this step; the last one has others that lie alike.
        inputs: All memory that a step writes.
    """
    groups = [dict(group) for group in optimizer.param_groups]
    for param, grad in zip(params, grads, strict=True):
        param.grad = -grad
    with undone(inputs):
        optimizer.step()
    for group, former in zip(optimizer.param_groups, groups, strict=True):
        group.update(former)  # a seed
    for param, grad in zip(params, grads, strict=True):
        param.grad = grad
    return optimizer._step_as_known()
