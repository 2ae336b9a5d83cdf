"""All that follows a backward pass: clip by norm, AdamW, moving average, gradients released."""

from collections.abc import Callable, Iterator
from functools import partial

import torch
from torch import Tensor

from dlplug.bench import updates
from dlplug.bench.adamw import backend_of_adamw
from dlplug.bench.limits import update_stream
from dlplug.bench.parameter_lists import LISTS, Shapes, count
from dlplug.bench.row import Contender, Peer, Row, Work
from dlplug.optim import FusedAdamW

MAX_NORM, EMA_DECAY = 1.0, 0.9
# Of each element: the gradient for the norm, then AdamW's seven, then the average in and out.
STREAMS = 10
DTYPE = torch.float32
# PyTorch sums the squares of 124 million gradients in float32: its norm is off by 4e-5.
TOLERANCE = 1e-4
# The phase, and the averages.
Chain = tuple[Callable[[], None], Callable[[], list[Tensor]]]


def rows() -> Iterator[Row]:
    """Every row of this file."""
    for name, shapes in LISTS.items():
        memory = 4 * count(shapes) * 22
        yield Row(f"optimizer phase {name} float32", partial(build, shapes), memory, name == "vit")


def build(shapes: Shapes) -> Work:
    """One phase of each; a backward pass has allocated the gradients, and they are freed."""
    size = count(shapes) * DTYPE.itemsize
    return Work(
        ours=_contender(shapes, _ours),
        peers={
            "torch fused chain": Peer(lambda: _contender(shapes, partial(_torch, fused=True))),
            "torch foreach chain": Peer(lambda: _contender(shapes, partial(_torch, foreach=True))),
        },
        reference=lambda: updates.reference(shapes, DTYPE, MAX_NORM, EMA_DECAY),
        tolerance=TOLERANCE,
        backend=backend_of_adamw(DTYPE),
        limit=update_stream(size, STREAMS * size),
    )


def _contender(shapes: Shapes, chain: Callable) -> Contender:
    params = updates.parameters(shapes, DTYPE)
    grads = updates.gradients(shapes, DTYPE)
    run, averages = chain(params)

    def before():
        for param, grad in zip(params, grads, strict=True):
            param.grad = grad.clone()

    def outputs():
        for _ in range(updates.STEPS):
            before()
            run()
        return updates.sample(params) + updates.sample(averages())

    return Contender(run, outputs, before)


def _ours(params: list[torch.nn.Parameter]) -> Chain:
    optimizer = FusedAdamW(params, max_grad_norm=MAX_NORM, ema_decay=EMA_DECAY, **updates.OPTIONS)

    def run():
        optimizer.step()
        optimizer.zero_grad()

    return run, lambda: [optimizer.state[param]["ema"] for param in params]


def _torch(params: list[torch.nn.Parameter], **options) -> Chain:
    optimizer = torch.optim.AdamW(params, **updates.OPTIONS, **options)
    weights = [param.detach() for param in params]
    averages = [weight.clone() for weight in weights]

    def run():
        torch.nn.utils.clip_grad_norm_(params, MAX_NORM)
        optimizer.step()
        torch._foreach_lerp_(averages, weights, 1 - EMA_DECAY)
        optimizer.zero_grad()

    return run, lambda: averages
