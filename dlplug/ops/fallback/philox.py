"""The random masks of the fused ops in plain PyTorch: Philox4x32-10, a function of seed and index.

Salmon, Moraes, Dror, Shaw 2011, "Parallel random numbers: as easy as 1, 2, 3". The layout of
counters, rows and columns is that of ``csrc/common/philox.h``, bit for bit.
"""

import math

import torch
from torch import Tensor

MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
KEY_STEPS = (0x9E3779B9, 0xBB67AE85)
ROUNDS = 10
WORD = 0xFFFFFFFF


def draw_seed(device: torch.device | str = "cpu") -> Tensor:
    """A seed from torch's generator of that device, a scalar int64 tensor in ``[0, 2^63 - 1)``.

    ``torch.manual_seed`` rules it, and under compile and export it is a node of the graph.
    """
    return torch.randint(0, 2**63 - 1, (), dtype=torch.int64, device=device)


def threshold(p: float) -> int:
    """Bits below this are dropped: ``p`` as a whole number of 2^-32."""
    return math.floor(p * 2**32 + 0.5)


def keep_mask(seed: Tensor, rows: int, columns: int, p: float) -> Tensor:
    """Which elements dropout with probability ``p`` keeps: bool, ``(rows, columns)``."""
    return random_bits(seed, rows, columns) >= threshold(p)


def random_bits(seed: Tensor, rows: int, columns: int, first_row: int = 0) -> Tensor:
    """Uniform 32-bit numbers as int64, ``(rows, columns)``.

    Args:
        seed: Scalar int64 tensor; its device is the result's.
        rows: How many.
        columns: Numbers of each.
        first_row: Number of the first of them.
    """
    blocks = (columns + 63) // 64
    # One counter gives 4 words, for the columns j, j + 16, j + 32 and j + 48 of a block of 64.
    row = torch.arange(first_row, first_row + rows, device=seed.device)[:, None]
    c0 = torch.arange(16 * blocks, device=seed.device).expand(rows, 16 * blocks)
    c1, c2 = row & WORD, row >> 32
    c3 = torch.zeros_like(c0)
    k0, k1 = seed & WORD, seed >> 32 & WORD
    for _ in range(ROUNDS):
        high0, low0 = _multiply(c0, MULTIPLIERS[0])
        high1, low1 = _multiply(c2, MULTIPLIERS[1])
        c0, c1, c2, c3 = high1 ^ c1 ^ k0, low1, high0 ^ c3 ^ k1, low0
        k0, k1 = k0 + KEY_STEPS[0] & WORD, k1 + KEY_STEPS[1] & WORD
    words = torch.stack([word.expand(rows, 16 * blocks) for word in (c0, c1, c2, c3)], dim=1)
    words = words.view(rows, 4, blocks, 16).transpose(1, 2)
    return words.reshape(rows, 64 * blocks)[:, :columns]


def _multiply(a: Tensor, b: int) -> tuple[Tensor, Tensor]:
    """High and low half of a 32 x 32 bit product; int64 wraps around, which keeps all 64 bits."""
    product = a * b
    return product >> 32 & WORD, product & WORD
