"""Shapes of the parameters of three models, for the optimizers."""

from itertools import pairwise

import torch

Shapes = list[tuple[int, ...]]


def mlp() -> Shapes:
    """A small perceptron, 41 thousand parameters in 14 tensors."""
    widths = [64, 96, 96, 96, 80, 64, 48, 10]
    return [s for a, b in pairwise(widths) for s in ((b, a), (b,))]


def transformer(width: int, depth: int, *outside: tuple[int, ...]) -> Shapes:
    """Twelve tensors a block: two norms, attention and a perceptron of four times the width."""
    w = width
    block = [(w,), (w,), (3 * w, w), (3 * w,), (w, w), (w,)]
    block += [(w,), (w,), (4 * w, w), (4 * w,), (w, 4 * w), (w,)]
    return [*outside, *block * depth]


LISTS = {
    # GPT-2 small, 124 million parameters in 148 tensors.
    "gpt2": transformer(768, 12, (50257, 768), (1024, 768), (768,), (768,)),
    # ViT-tiny, 5.7 million parameters in 152 tensors.
    "vit": transformer(
        192, 12, (1, 1, 192), (1, 197, 192), (192, 3, 16, 16), *[(192,)] * 3, (1000, 192), (1000,)
    ),
    "mlp": mlp(),
    # One billion parameters in 240 tensors.
    "billion": transformer(2048, 20),
}


def count(shapes: Shapes) -> int:
    """Parameters in all tensors together."""
    return sum(torch.Size(shape).numel() for shape in shapes)
