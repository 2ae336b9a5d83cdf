"""A step of FusedAdamW beside PyTorch's loop, foreach and fused code, and the gradients' norm."""

from collections.abc import Iterator
from itertools import pairwise

import torch

from dlplug import ops
from dlplug.ops.fallback.compact_adamw import STORAGES
from dlplug.optim import CompactAdamW, FusedAdamW
from tests.bench.timing import Case

CONTENDERS = {
    "dlplug": (FusedAdamW, {}),
    "torch": (torch.optim.AdamW, {}),
    "torch foreach": (torch.optim.AdamW, {"foreach": True}),
    "torch fused": (torch.optim.AdamW, {"fused": True}),
}
DTYPES = [torch.float32, torch.bfloat16]
# Read: parameter, gradient and two states; written: all but the gradient.
STREAMS = 7
# For each element, as csrc/cpu/kernels/compact_adamw.cpp counts them.
BYTES_MOVED = dict(zip(STORAGES, (22, 26, 14, 18, 10), strict=True))


def mlp() -> list[tuple[int, ...]]:
    """A small perceptron, 41 thousand parameters in 14 tensors."""
    widths = [64, 96, 96, 96, 80, 64, 48, 10]
    return [s for a, b in pairwise(widths) for s in ((b, a), (b,))]


def transformer(width: int, depth: int, *outside: tuple[int, ...]) -> list[tuple[int, ...]]:
    """Twelve tensors a block: two norms, attention and a perceptron of four times the width."""
    w = width
    block = [(w,), (w,), (3 * w, w), (3 * w,), (w, w), (w,)]
    block += [(w,), (w,), (4 * w, w), (4 * w,), (w, 4 * w), (w,)]
    return [*outside, *block * depth]


LISTS = {
    "mlp": mlp(),
    # ViT-tiny, 5.7 million parameters in 152 tensors.
    "vit": transformer(
        192, 12, (1, 1, 192), (1, 197, 192), (192, 3, 16, 16), *[(192,)] * 3, (1000, 192), (1000,)
    ),
    # GPT-2 small, 124 million parameters in 148 tensors; takes 8 GB.
    "gpt2": transformer(768, 12, (50257, 768), (1024, 768), (768,), (768,)),
}


def cases(lists=("mlp", "vit"), dtypes=DTYPES) -> Iterator[Case]:
    """Every comparison of this file, built one at a time."""
    for name in lists:
        for dtype in dtypes:
            size = sum(torch.Size(shape).numel() for shape in LISTS[name]) * dtype.itemsize
            yield Case(
                f"adamw {name} {str(dtype).removeprefix('torch.')} step",
                {
                    key: _optimizer(LISTS[name], dtype, optimizer, options).step
                    for key, (optimizer, options) in CONTENDERS.items()
                },
                STREAMS * size,
            )
            yield _norm_case(name, dtype, size)
        for storage in STORAGES:
            yield _compact_case(name, storage)


def _compact_case(name: str, storage: str) -> Case:
    """Of bfloat16 parameters; the peers keep plain bfloat16 states, which is less than most do."""
    contenders = {
        "dlplug": (CompactAdamW, {"storage": storage}),
        "torch": (torch.optim.AdamW, {}),
        "torch fused": (torch.optim.AdamW, {"fused": True}),
    }
    return Case(
        f"compact_adamw {name} {storage} step",
        {
            key: _optimizer(LISTS[name], torch.bfloat16, optimizer, options).step
            for key, (optimizer, options) in contenders.items()
        },
        sum(torch.Size(shape).numel() for shape in LISTS[name]) * BYTES_MOVED[storage],
    )


def _norm_case(name: str, dtype: torch.dtype, size: int) -> Case:
    gradients = [torch.randn(shape).to(dtype) for shape in LISTS[name]]
    return Case(
        f"total_norm {name} {str(dtype).removeprefix('torch.')}",
        {
            "dlplug": lambda: ops.total_norm(gradients),
            "torch": lambda: torch.nn.utils.get_total_norm(gradients),
        },
        size,
    )


def _optimizer(shapes, dtype, optimizer, options):
    torch.manual_seed(0)
    params = [torch.nn.Parameter(torch.randn(shape).to(dtype)) for shape in shapes]
    for param in params:
        param.grad = torch.randn_like(param)
    return optimizer(params, lr=1e-4, **options)
