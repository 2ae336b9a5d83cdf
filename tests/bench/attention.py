"""Attention beside PyTorch's own and the formula written out: forward, and forward + backward."""

from collections.abc import Iterator
from functools import partial

import torch
import torch.nn.functional as F

from dlplug import ops
from tests.bench.timing import Case

DTYPES = [torch.float32, torch.bfloat16]
# name -> batch, heads, key heads, queries, keys, head dimension, is_causal
SHAPES = {
    "ViT MNIST": (64, 4, 4, 50, 50, 32, False),
    "ViT N65": (64, 3, 3, 65, 65, 64, False),
    "ViT N197": (32, 6, 6, 197, 197, 64, False),
    "N16": (1024, 4, 4, 16, 16, 32, False),
    "N32": (512, 4, 4, 32, 32, 32, False),
    "N64": (256, 4, 4, 64, 64, 64, False),
    "GPT N1024 causal": (4, 12, 12, 1024, 1024, 64, True),
    "GQA N2048 causal": (2, 16, 4, 2048, 2048, 64, True),
}
WINDOW, DOCUMENT = 256, 128  # of the long shapes' variants
LARGEST_FORMULA = 256  # keys up to which the formula is timed: beyond, it is only slow


def formula(query, key, value):
    scores = query @ key.mT * query.shape[-1] ** -0.5
    return torch.softmax(scores, -1) @ value


def cases() -> Iterator[Case]:
    """Every comparison of this file, built one at a time."""
    for name, (*sizes, is_causal) in SHAPES.items():
        for dtype in DTYPES:
            q, k, v, grad = _tensors(*sizes, dtype)
            torchs = partial(F.scaled_dot_product_attention, is_causal=is_causal, enable_gqa=True)
            contenders = {
                "dlplug": partial(ops.attention, is_causal=is_causal, enable_gqa=True),
                "torch": torchs,
            }
            if sizes[4] <= LARGEST_FORMULA:
                contenders["formula"] = formula
            yield from _both_passes(name, contenders, (q, k, v), grad)
    yield from _long_variants()


def _long_variants() -> Iterator[Case]:
    """What the extras save: a window, packed documents and ALiBi instead of a mask."""
    heads, length, width = 16, 4096, 64
    for dtype in DTYPES:
        q, k, v, grad = _tensors(1, heads, heads, length, length, width, dtype)
        i, j = torch.arange(length)[:, None], torch.arange(length)
        starts = torch.arange(0, length + 1, DOCUMENT, dtype=torch.int32)
        slopes = torch.logspace(-1, -8, heads, base=2)
        bias = -slopes[:, None, None] * (i - j).abs()
        same = i // DOCUMENT == j // DOCUMENT
        variants = {
            f"window {WINDOW}": ({"window": WINDOW}, (i >= j) & (i - j < WINDOW)),
            f"documents of {DOCUMENT}": ({"cu_seqlens": starts}, (i >= j) & same),
            "ALiBi": ({"alibi_slopes": slopes}, bias.masked_fill(i < j, -torch.inf).to(dtype)),
        }
        for name, (extra, mask) in variants.items():
            contenders = {
                "dlplug": partial(ops.attention, is_causal=True, **extra),
                "torch with a mask": partial(F.scaled_dot_product_attention, attn_mask=mask),
            }
            yield from _both_passes(f"N{length} causal, {name}", contenders, (q, k, v), grad)


def _tensors(batch, heads, groups, queries, keys, width, dtype):
    torch.manual_seed(0)
    shapes = [(heads, queries), (groups, keys), (groups, keys), (heads, queries)]
    return [torch.randn(batch, *shape, width).to(dtype) for shape in shapes]


def _both_passes(name, contenders, tensors, grad) -> Iterator[Case]:
    batch, heads, _, width = tensors[0].shape
    sizes = f"B{batch} H{heads} D{width} {str(grad.dtype).removeprefix('torch.')}"
    forward = {key: partial(run, *tensors) for key, run in contenders.items()}
    yield Case(f"attention {name} {sizes} forward", forward)
    leaves = [x.detach().requires_grad_() for x in tensors]
    backward = {key: partial(_step, run, leaves, grad) for key, run in contenders.items()}
    yield Case(f"attention {name} {sizes} forward+backward", backward)


def _step(run, leaves, grad):
    torch.autograd.grad(run(*leaves), leaves, grad)
