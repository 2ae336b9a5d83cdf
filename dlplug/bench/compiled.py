"""Peers that are compiled by PyTorch."""

from collections.abc import Callable

import torch


def compiled(function: Callable) -> Callable:
    """``function`` compiled for the shapes that it is first called with.

    The number of threads is written into the code, so the cache on the disk has to know it.
    """
    options = {"cpp.threads": torch.get_num_threads()}
    return torch.compile(function, dynamic=False, options=options)


def forget_compiled() -> None:
    """Drop compiled code: the next row starts as the first did."""
    torch.compiler.reset()
