"""What the optimizers are compared on: one sequence of steps, here in float64, and its values.

Step size and scale of the parameters are such that a step changes a parameter by about its size: a
wrong update is then far larger than any rounding. So is clipping that is left out, because eps is
not small beside clipped gradients; with a tiny one the step does not know the gradients' scale.
"""

from collections.abc import Iterator

import torch
from torch import Tensor

from dlplug.bench.parameter_lists import Shapes

STEPS = 2
LR, BETAS, EPS, WEIGHT_DECAY = 0.05, (0.9, 0.999), 1e-4, 0.01
OPTIONS = {"lr": LR, "betas": BETAS, "eps": EPS, "weight_decay": WEIGHT_DECAY}
SCALE = 0.1  # of parameters
SAMPLE = 4096  # elements of each tensor that are compared; an update is one for each element


def parameters(shapes: Shapes, dtype: torch.dtype) -> list[torch.nn.Parameter]:
    """Parameters, the same at each call."""
    torch.manual_seed(0)
    return [torch.nn.Parameter((torch.randn(shape) * SCALE).to(dtype)) for shape in shapes]


def gradients(shapes: Shapes, dtype: torch.dtype) -> list[Tensor]:
    """Gradients, the same at each call."""
    torch.manual_seed(1)
    return [torch.randn(shape).to(dtype) for shape in shapes]


def sample(tensors: list[Tensor]) -> list[Tensor]:
    """What is compared of each, all in one tensor."""
    return [torch.cat([t.detach().flatten()[:SAMPLE].double() for t in tensors])]


def reference(
    shapes: Shapes,
    dtype: torch.dtype,
    max_norm: float | None = None,
    ema_decay: float | None = None,
) -> list[Tensor]:
    """Parameters, and their averages if any, after the steps in float64, as `sample` gives them.

    Args:
        shapes, dtype: Of parameters and gradients, whose values are those of that dtype.
        max_norm: To which all gradients together are clipped.
        ema_decay: Of the averages, which start at the parameters.
    """
    params, grads = parameters(shapes, dtype), gradients(shapes, dtype)
    (grad,) = sample(grads)
    if max_norm is not None:
        norm = sum(g.double().square().sum() for g in grads).sqrt()
        grad = grad * (max_norm / (norm + 1e-6)).clamp(max=1)
    (start,) = sample(params)
    param = average = start
    for param in _steps(start, grad):
        if ema_decay is not None:
            average = ema_decay * average + (1 - ema_decay) * param
    return [param] if ema_decay is None else [param, average]


def _steps(param: Tensor, grad: Tensor) -> Iterator[Tensor]:
    """Loshchilov, Hutter 2019, arXiv:1711.05101, algorithm 2."""
    (beta1, beta2), m, v = BETAS, torch.zeros_like(param), torch.zeros_like(param)
    for t in range(1, STEPS + 1):
        m = beta1 * m + (1 - beta1) * grad
        v = beta2 * v + (1 - beta2) * grad**2
        root = (v / (1 - beta2**t)).sqrt() + EPS
        param = param * (1 - LR * WEIGHT_DECAY) - LR * m / (1 - beta1**t) / root
        yield param
