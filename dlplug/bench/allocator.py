"""glibc's allocator: tuned to keep what is freed, or as it comes.

As it comes, a block above 32 MiB goes back to the kernel with every ``free``, and the next one is
cleared page by page: at such sizes the time of the pages hides that of the ops. A training keeps
its memory, so the comparison does, for all contenders alike.
"""

import ctypes
import gc
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

import torch

from dlplug.bench.device import is_gpu

TUNED, DEFAULT = "tuned", "default"
# From malloc.h.
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD, M_MMAP_MAX = -1, -3, -4
MIB = 1 << 20
SETTINGS = {
    # No block from mmap, and nothing trimmed: -1 is the largest size_t.
    TUNED: ((M_MMAP_MAX, 0), (M_TRIM_THRESHOLD, -1)),
    # Where glibc's thresholds, which follow the blocks that are freed, end up with large blocks.
    DEFAULT: ((M_MMAP_MAX, 65536), (M_MMAP_THRESHOLD, 32 * MIB), (M_TRIM_THRESHOLD, 64 * MIB)),
}


@cache
def _libc() -> ctypes.CDLL | None:
    """The C library, where it is glibc."""
    libc = ctypes.CDLL(None)
    return libc if hasattr(libc, "mallopt") and hasattr(libc, "malloc_trim") else None


def settings(wanted: tuple[str, ...]) -> tuple[str, ...]:
    """Those of ``wanted`` that can be had here: without glibc, or on a GPU, the default alone."""
    return wanted if _libc() is not None and not is_gpu() else (DEFAULT,)


@contextmanager
def allocator(setting: str) -> Iterator[None]:
    """Allocate by ``setting``, `TUNED` or `DEFAULT`, within the ``with`` block."""
    _set(setting)
    try:
        yield
    finally:
        _set(DEFAULT)


def _set(setting: str) -> None:
    if (libc := _libc()) is not None:
        for parameter, value in SETTINGS[setting]:
            libc.mallopt(parameter, value)


def release() -> None:
    """Give free memory back to the system."""
    gc.collect()
    if is_gpu():
        torch.cuda.empty_cache()
    if (libc := _libc()) is not None:
        libc.malloc_trim(0)
