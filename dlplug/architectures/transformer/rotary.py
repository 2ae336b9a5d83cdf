"""Rotary positions: a query and a key meet at an angle that grows with their distance.

Su et al. 2021, arXiv:2104.09864, section 3.2. Names end in their shape:

    B  sequences    N  heads    T  positions    K  width of a head    J  pairs of numbers, K / 2
"""

import torch
from torch import Tensor


def rotations(
    length: int, offset: int, width: int, base: float, device: torch.device
) -> tuple[Tensor, Tensor]:
    """Cosine and sine of the angle ``position * base^(-2 j / K)`` of each pair, float32.

    Args:
        length: T.
        offset: Position of the first one.
        width: K, even.
        base: Ratio of the longest and the shortest wavelength, about.
        device: Where they are needed.
    Returns:
        Two tensors ``(T, J)``.
    """
    position_T = torch.arange(offset, offset + length, device=device, dtype=torch.float32)
    frequency_J = base ** -(torch.arange(0, width, 2, device=device, dtype=torch.float32) / width)
    angle_TJ = torch.outer(position_T, frequency_J)
    return angle_TJ.cos(), angle_TJ.sin()


def rotate(x_BNTK: Tensor, cos_TJ: Tensor, sin_TJ: Tensor) -> Tensor:
    """Turn each pair of numbers by its angle (eq. 34).

    A pair is numbers j and j + K / 2, which lie in two whole halves; the paper pairs neighbours.
    That is another order of a head's numbers, which the projections before it learn anyway.
    """
    cos_TJ, sin_TJ = cos_TJ.to(x_BNTK.dtype), sin_TJ.to(x_BNTK.dtype)
    a_BNTJ, b_BNTJ = x_BNTK.chunk(2, dim=-1)
    return torch.cat([a_BNTJ * cos_TJ - b_BNTJ * sin_TJ, b_BNTJ * cos_TJ + a_BNTJ * sin_TJ], dim=-1)
