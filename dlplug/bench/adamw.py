"""A step of FusedAdamW and of CompactAdamW."""

from collections.abc import Callable, Iterator
from functools import partial

import torch
from torch import Tensor

from dlplug import ops
from dlplug.bench import updates
from dlplug.bench.compiled import compiled
from dlplug.bench.device import CPU, CUDA, is_gpu
from dlplug.bench.limits import update_stream
from dlplug.bench.parameter_lists import LISTS, Shapes, count
from dlplug.bench.row import Contender, LeftOut, Missing, Peer, Row, Work
from dlplug.ops.fallback.compact_adamw import STORAGES
from dlplug.optim import CompactAdamW, FusedAdamW

STREAMS = 7  # read: parameter, gradient and two states; written: all but the gradient
# For each element, as csrc/cpu/kernels/compact_adamw.cpp counts them.
BYTES_MOVED = dict(zip(STORAGES, (22, 26, 14, 18, 10), strict=True))
TOLERANCE = {torch.float32: 1e-5, torch.bfloat16: 2e-2}
# Of states in 8 bits: where a gradient is small beside the others of its block, a step may be off
# by its own size, which is a fifth of the largest parameter after two steps.
TOLERANCE_8BIT = 0.2
ROWS = {"gpt2": ("float32", "bfloat16"), "vit": ("float32", "bfloat16"), "mlp": ("float32",)}
LARGEST = {CPU: "gpt2", CUDA: "billion"}


def rows(device: str) -> Iterator[Row]:
    """Every row of this file for ``device``."""
    large = {"billion": ("float32", "bfloat16")} if device == CUDA else {}
    for name, dtypes in (ROWS | large).items():
        for dtype in dtypes:
            build = partial(adamw, LISTS[name], getattr(torch, dtype))
            memory = 26 * count(LISTS[name]) * getattr(torch, dtype).itemsize
            is_quick = name in ("vit", "mlp") and dtype == "float32"
            yield Row(f"adamw {name} {dtype} step", build, memory, is_quick)
    for name in (LARGEST[device], "vit"):
        for storage in STORAGES:
            build = partial(compact_adamw, LISTS[name], storage)
            memory = 32 * count(LISTS[name])
            is_quick = (name, storage) == ("vit", "8bit")
            yield Row(f"compact_adamw {name} {storage} bfloat16 step", build, memory, is_quick)


def adamw(shapes: Shapes, dtype: torch.dtype) -> Work:
    """FusedAdamW beside PyTorch's AdamW and DeepSpeed's."""
    grads = updates.gradients(shapes, dtype)

    def contender(optimizer: Callable, wrap: Callable | None = None) -> Contender:
        return stepper(shapes, dtype, grads, partial(optimizer, **updates.OPTIONS), wrap)

    size = count(shapes) * dtype.itemsize
    return Work(
        ours=contender(FusedAdamW),
        peers={
            "torch": Peer(lambda: contender(torch.optim.AdamW)),
            "torch foreach": Peer(lambda: contender(partial(torch.optim.AdamW, foreach=True))),
            "torch fused": Peer(lambda: contender(partial(torch.optim.AdamW, fused=True))),
            "torch.compile": Peer(lambda: contender(torch.optim.AdamW, compiled), True),
            "DeepSpeed CPUAdam": Peer(lambda: contender(_deepspeed(dtype)), True),
        },
        reference=lambda: updates.reference(shapes, dtype),
        tolerance=TOLERANCE[dtype],
        backend=backend_of_adamw(dtype),
        limit=update_stream(size, STREAMS * size),
    )


def compact_adamw(shapes: Shapes, storage: str) -> Work:
    """Of bfloat16 parameters; the peers keep plain bfloat16 states, which is less than most do."""
    dtype = torch.bfloat16
    grads = updates.gradients(shapes, dtype)

    def contender(optimizer: Callable) -> Contender:
        return stepper(shapes, dtype, grads, partial(optimizer, **updates.OPTIONS))

    return Work(
        ours=contender(partial(CompactAdamW, storage=storage)),
        peers={
            "torch": Peer(lambda: contender(torch.optim.AdamW)),
            "torch fused": Peer(lambda: contender(partial(torch.optim.AdamW, fused=True))),
        },
        reference=lambda: updates.reference(shapes, dtype),
        tolerance=TOLERANCE_8BIT if storage == "8bit" else TOLERANCE[dtype],
        backend=_backend_of_compact_adamw(dtype, storage),
        limit=update_stream(2 * count(shapes), BYTES_MOVED[storage] * count(shapes)),
    )


def stepper(
    shapes: Shapes,
    dtype: torch.dtype,
    grads: list[Tensor],
    optimizer: Callable,
    wrap: Callable | None = None,
) -> Contender:
    """A contender that takes steps with gradients that stay the same.

    Args:
        shapes, dtype: Of the parameters.
        grads: The gradients, shared by all contenders, none of which changes them.
        optimizer: ``(params) -> Optimizer``.
        wrap: Makes of its ``step`` what is called; None for nothing else.
    """
    params = updates.parameters(shapes, dtype)
    built = optimizer(params)
    for param, grad in zip(params, grads, strict=True):
        param.grad = grad
    step = built.step if wrap is None else wrap(built.step)

    def outputs():
        for _ in range(updates.STEPS):
            step()
        return updates.sample(params)

    return Contender(step, outputs)


def backend_of_adamw(dtype: torch.dtype) -> str:
    lists = ([torch.zeros(1, dtype=dtype)] for _ in range(4))
    return ops.explain(
        ops.adamw_, *lists, [], [torch.zeros(())],
        lr=0.1, beta1=0.9, beta2=0.9, eps=1.0, weight_decay=0.0,
    ).backend  # fmt: skip


def _backend_of_compact_adamw(dtype: torch.dtype, storage: str) -> str:
    param, grad = (torch.zeros(1, dtype=dtype) for _ in range(2))
    return ops.explain(
        ops.compact_adamw_, [param], [grad], [ops.compact_state(param, storage)],
        storage=storage, lr=0.1, beta1=0.9, beta2=0.9, eps=1.0, weight_decay=0.0,
    ).backend  # fmt: skip


def _deepspeed(dtype: torch.dtype) -> Callable:
    if is_gpu():
        raise LeftOut("it is for parameters in the processor's memory")
    try:
        from deepspeed.ops.adam import DeepSpeedCPUAdam
    except ModuleNotFoundError as why:
        raise Missing(f"no module {why.name.partition('.')[0]}") from None
    return partial(DeepSpeedCPUAdam, adamw_mode=True)
