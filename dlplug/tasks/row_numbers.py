"""Random numbers that follow from a text itself, so that its evaluation never changes.

A generator with a seed for each batch would ask other questions of a text in another batch size,
order, or number of processes. Here each number is a hash of the text and of its own place.
"""

import torch
from torch import Tensor

from dlplug.nn.absent import PADDING

# Of SplitMix64, as the signed numbers that torch knows: the odd number nearest to 2^64 divided by
# the golden ratio, and the factors of its mixing function.
GAMMA = 0x9E3779B97F4A7C15 - 2**64
FACTORS = (0xBF58476D1CE4E5B9 - 2**64, 0x94D049BB133111EB - 2**64)


def row_numbers(tokens: Tensor, count: int) -> Tensor:
    """Numbers in [0, 1), the same for the same text on every device and in every batch.

    Args:
        tokens: Shape ``(B, T)`` int64; padding behind a text changes none of its numbers.
        count: Independent numbers for each position.
    Returns:
        Shape ``(count, B, T)`` float32; multiples of 2^-24.
    References: Steele, Lea, Flood 2014, Fast splittable pseudorandom number generators, section 5
        (SplitMix64).
    """
    place_T = torch.arange(1, tokens.shape[1] + 1, device=tokens.device)
    # A sum of hashes of token and place: the same tokens in another order are another text.
    hash_BT = mixed(mixed(place_T * GAMMA) + tokens * GAMMA)
    seed_B1 = (hash_BT * (tokens != PADDING)).sum(dim=1, keepdim=True)
    stream_C11 = torch.arange(count, device=tokens.device)[:, None, None] << 32
    bits = mixed(seed_B1 + (stream_C11 + place_T) * GAMMA)
    return _shifted(bits, 40).float() * 2.0**-24


def mixed(bits: Tensor) -> Tensor:
    """A hash of each int64: every bit of the input changes about half of those of the output."""
    bits = (bits ^ _shifted(bits, 30)) * FACTORS[0]
    bits = (bits ^ _shifted(bits, 27)) * FACTORS[1]
    return bits ^ _shifted(bits, 31)


def _shifted(bits: Tensor, count: int) -> Tensor:
    """Shifted right without the sign, which torch's own shift copies."""
    return (bits >> count) & (2 ** (64 - count) - 1)
