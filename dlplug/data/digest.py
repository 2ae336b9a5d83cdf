"""Hashes of tensors of any size, in little memory."""

import hashlib
from collections.abc import Iterable

import torch
from torch import Tensor

# Bytes that are gathered and hashed at once: they stay in a processor's cache.
PART = 1 << 20


def sha256_of(tensors: Iterable[Tensor], rows: Tensor | None = None) -> str:
    """SHA-256 of the elements of some tensors, as if each were written out whole.

    Args:
        tensors: Of any shapes ``(N, ...)`` and dtypes, on the CPU.
        rows: Which of their rows, in this order, shape ``(n,)`` int64; None for all.
    Returns:
        In hexadecimal.
    """
    digest = hashlib.sha256()
    for tensor in tensors:
        count = len(tensor) if rows is None else len(rows)
        step = max(1, PART // max(1, tensor[:1].nbytes))
        for start in range(0, count, step):
            part = slice(start, start + step)
            chosen = tensor[part] if rows is None else tensor[rows[part]]
            digest.update(chosen.contiguous().flatten().view(torch.uint8).numpy())
    return digest.hexdigest()
