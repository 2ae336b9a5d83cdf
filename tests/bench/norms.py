"""The norm ops beside PyTorch's: forward, and forward + backward, float32 and bfloat16."""

from collections.abc import Iterator
from functools import partial

import torch
import torch.nn.functional as F

from dlplug import ops
from tests.bench.timing import Case

SHAPES = [(256, 192), (12608, 192), (4096, 768), (65536, 1024)]
DTYPES = [torch.float32, torch.bfloat16]


def layer_norm(x, residual, weight, bias):
    return {
        "dlplug": lambda: ops.layer_norm(x, weight, bias),
        "torch": lambda: F.layer_norm(x, x.shape[-1:], weight, bias),
    }


def rms_norm(x, residual, weight, bias):
    return {
        "dlplug": lambda: ops.rms_norm(x, weight),
        "torch": lambda: F.rms_norm(x, x.shape[-1:], weight, 1e-6),
    }


def add_layer_norm(x, residual, weight, bias, dropout_p=0.0):
    def separate():
        h = (F.dropout(x, dropout_p) if dropout_p else x) + residual
        return F.layer_norm(h, h.shape[-1:], weight, bias), h

    return {
        "dlplug": lambda: ops.add_layer_norm(x, residual, weight, bias, dropout_p=dropout_p),
        "torch": separate,
    }


def add_rms_norm(x, residual, weight, bias):
    def separate():
        h = x + residual
        return F.rms_norm(h, h.shape[-1:], weight, 1e-6), h

    return {"dlplug": lambda: ops.add_rms_norm(x, residual, weight), "torch": separate}


PAIRS = {
    "layer_norm": layer_norm,
    "rms_norm": rms_norm,
    "add_layer_norm": add_layer_norm,
    "add_layer_norm+dropout": partial(add_layer_norm, dropout_p=0.1),
    "add_rms_norm": add_rms_norm,
}
# Tensors read or written at least: forward, and forward + backward.
STREAMS = {
    "layer_norm": (2, 5),
    "rms_norm": (2, 5),
    "add_layer_norm": (4, 8),
    "add_layer_norm+dropout": (4, 9),
    "add_rms_norm": (4, 8),
}


def cases(shapes=SHAPES, dtypes=DTYPES, names=None) -> Iterator[Case]:
    """Every comparison of this file, built one at a time (the largest take 2 GB)."""
    for op, pair in PAIRS.items():
        if names and op not in names:
            continue
        for shape in shapes:
            for dtype in dtypes:
                yield from _both_passes(op, pair, shape, dtype)


def _both_passes(op, pair, shape, dtype):
    torch.manual_seed(0)
    x, residual, grad = (torch.randn(shape).to(dtype) for _ in range(3))
    weight, bias = torch.ones(shape[-1], dtype=dtype), torch.zeros(shape[-1], dtype=dtype)
    size = x.numel() * dtype.itemsize
    name = f"{op} {shape[0]}x{shape[1]} {str(dtype).removeprefix('torch.')}"
    yield Case(f"{name} forward", pair(x, residual, weight, bias), STREAMS[op][0] * size)
    leaves = [tensor.requires_grad_() for tensor in (x, residual, weight, bias)]
    yield Case(
        f"{name} forward+backward",
        {key: _backward(run, leaves, grad) for key, run in pair(*leaves).items()},
        STREAMS[op][1] * size,
    )


def _backward(run, leaves, grad):
    def step():
        output = run()
        outputs = output if isinstance(output, tuple) else (output,)
        torch.autograd.grad(outputs, leaves, [grad] * len(outputs), allow_unused=True)

    return step
