"""All that follows a backward pass: clip by norm, AdamW, moving average, gradients released.

With a loss that was scaled up for float16, the gradients are divided first, or the step is skipped.
"""

from collections.abc import Callable, Iterator
from functools import partial

import torch
from torch import Tensor

from dlplug.bench import updates
from dlplug.bench.adamw import backend_of_adamw
from dlplug.bench.device import CUDA, current
from dlplug.bench.limits import update_stream
from dlplug.bench.parameter_lists import LISTS, Shapes, count
from dlplug.bench.row import Contender, Peer, Row, Work
from dlplug.optim import FusedAdamW

MAX_NORM, EMA_DECAY = 1.0, 0.9
LOSS_SCALE = 1024.0
# Of each element: the gradient for the norm, then AdamW's seven, then the average in and out.
STREAMS, STREAMS_OF_SCALED = 10, 8
DTYPE = torch.float32
# PyTorch sums the squares of 124 million gradients in float32: its norm is off by 4e-5.
TOLERANCE = 1e-4
# The phase, and the averages.
Chain = tuple[Callable[[], None], Callable[[], list[Tensor]]]


def rows(device: str) -> Iterator[Row]:
    """Every row of this file for ``device``; GPUs also train in float16, with a scaled loss."""
    for name, shapes in LISTS.items():
        if name == "billion" and device != CUDA:
            continue
        memory = 4 * count(shapes) * 22
        yield Row(f"optimizer phase {name} float32", partial(build, shapes), memory, name == "vit")
        if device == CUDA:
            scaled = partial(build, shapes, is_scaled=True)
            yield Row(f"optimizer phase {name} float32, scaled loss", scaled, memory)


def build(shapes: Shapes, is_scaled: bool = False) -> Work:
    """One phase of each; a backward pass has allocated the gradients, and they are freed.

    Args:
        shapes: Of the parameters.
        is_scaled: Divide the gradients first; there is no average then.
    """
    size = count(shapes) * DTYPE.itemsize
    ours, torchs = (_ours_scaled, _torch_scaled) if is_scaled else (_ours, _torch)

    def contender(chain: Callable) -> Contender:
        return _contender(shapes, chain, LOSS_SCALE if is_scaled else 1.0)

    return Work(
        ours=contender(ours),
        peers={
            "torch fused chain": Peer(lambda: contender(partial(torchs, fused=True))),
            "torch foreach chain": Peer(lambda: contender(partial(torchs, foreach=True))),
        },
        reference=lambda: updates.reference(
            shapes, DTYPE, MAX_NORM, None if is_scaled else EMA_DECAY
        ),
        tolerance=TOLERANCE,
        backend=backend_of_adamw(DTYPE),
        limit=update_stream(size, (STREAMS_OF_SCALED if is_scaled else STREAMS) * size),
    )


def _contender(shapes: Shapes, chain: Callable, factor: float) -> Contender:
    params = updates.parameters(shapes, DTYPE)
    grads = [grad * factor for grad in updates.gradients(shapes, DTYPE)]
    run, averages = chain(params)

    def before():
        for param, grad in zip(params, grads, strict=True):
            param.grad = grad.clone()

    def outputs():
        for _ in range(updates.STEPS):
            before()
            run()
        found = averages()
        return updates.sample(params) + (updates.sample(found) if found else [])

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


def _ours_scaled(params: list[torch.nn.Parameter]) -> Chain:
    # With `fused` the scaler leaves dividing to the step.
    optimizer = FusedAdamW(params, max_grad_norm=MAX_NORM, fused=True, **updates.OPTIONS)
    scaler = _scaler()

    def run():
        scaler.step(optimizer)
        scaler.update()
        optimizer.zero_grad()

    return run, list


def _torch_scaled(params: list[torch.nn.Parameter], **options) -> Chain:
    optimizer = torch.optim.AdamW(params, **updates.OPTIONS, **options)
    scaler = _scaler()

    def run():
        scaler.unscale_(optimizer)
        torch.nn.utils.clip_grad_norm_(params, MAX_NORM)
        scaler.step(optimizer)
        scaler.update()
        optimizer.zero_grad()

    return run, list


def _scaler() -> torch.amp.GradScaler:
    """One that has scaled a loss already, and keeps its scale."""
    scaler = torch.amp.GradScaler(current(), init_scale=LOSS_SCALE, growth_interval=1 << 30)
    scaler.scale(torch.zeros(()))
    return scaler
