"""AdamW in plain PyTorch: what the op computes, and the reference of its tests."""

from collections.abc import Sequence

import torch
from torch import Tensor


def adamw_(
    params: Sequence[Tensor],
    grads: Sequence[Tensor],
    exp_avgs: Sequence[Tensor],
    exp_avg_sqs: Sequence[Tensor],
    max_exp_avg_sqs: Sequence[Tensor],
    steps: Sequence[Tensor],
    lr: float,
    beta1: float,
    beta2: float,
    eps: float,
    weight_decay: float,
    maximize: bool = False,
    averages: Sequence[Tensor] = (),
    average_weight: float = 0.0,
) -> None:
    """One AdamW step of each parameter, in place; arguments as in :func:`dlplug.ops.adamw_`.

    Line numbers are those of algorithm 2 (decoupled decay, in green there). Two things are
    PyTorch's reading of it: the schedule multiplier and alpha are one number ``lr``, which also
    scales the decay, and the decay comes first, so it multiplies the old parameter.

    References: Loshchilov, Hutter 2019, arXiv:1711.05101, algorithm 2; the maximum of second
    moments is Reddi, Kale, Kumar 2018, arXiv:1904.09237, algorithm 2.
    """
    for i, (theta, grad, m, v, t) in enumerate(
        zip(params, grads, exp_avgs, exp_avg_sqs, steps, strict=True)
    ):
        g = -grad if maximize else grad  # line 6
        t.add_(1)  # line 4
        m.lerp_(g, 1 - beta1)  # line 7: m = beta1 m + (1 - beta1) g
        v.mul_(beta2).addcmul_(g, g, value=1 - beta2)  # line 8: v = beta2 v + (1 - beta2) g^2
        bias1 = 1 - beta1 ** t.item()  # line 9
        bias2 = 1 - beta2 ** t.item()  # line 10
        if max_exp_avg_sqs:
            v = torch.maximum(max_exp_avg_sqs[i], v, out=max_exp_avg_sqs[i])
        theta.mul_(1 - lr * weight_decay)  # line 12, the decay
        denominator = (v.sqrt() / bias2**0.5).add_(eps)
        theta.addcdiv_(m, denominator, value=-lr / bias1)  # line 12, the step
    move_averages(averages, params, average_weight)


def move_averages(
    averages: Sequence[Tensor], params: Sequence[Tensor], weight: float | Tensor
) -> None:
    """average = average + weight * (param - average), in the averages' dtype, in place.

    Args:
        averages: One for each parameter, or none.
        params: Of their shapes, on their devices.
        weight: One number; a tensor may be on any device.
    """
    for average, param in zip(averages, params if averages else (), strict=True):
        own = weight.to(average.device) if isinstance(weight, Tensor) else weight
        average.lerp_(param.detach().to(average.dtype), own)
