"""What the machine can do at most, as functions that take part in the rounds."""

import ctypes
from concurrent.futures import ThreadPoolExecutor
from functools import cache

import torch
import torch.nn.functional as F

from dlplug.bench.device import is_gpu
from dlplug.bench.row import Limit

LARGEST_STREAM = 1 << 28  # bytes; far beyond every cache, and then the rate is that of any size
MATRIX, MATRIX_ON_GPU = 1536, 8192


def update_stream(num_bytes: int, moved: int) -> Limit:
    """Read four tensors and write three of them, in place, as AdamW does.

    Args:
        num_bytes: Of each tensor.
        moved: Bytes that the row's work moves, which may have other tensors.
    """
    num_bytes = min(num_bytes, LARGEST_STREAM)
    p, g, m, v = (torch.ones(-(-num_bytes // 4)) for _ in range(4))

    def run():
        # By a factor below 1 they would end in denormals, which are slow.
        m.neg_()
        v.neg_()
        p.add_(g)

    return Limit({"4 reads and 3 writes in place": run}, moved / (7 * num_bytes))


def copy_stream(num_bytes: int, tensors: int) -> Limit:
    """Copy half of the bytes that the work reads and writes to the other half.

    By PyTorch's copy, and on a processor by the C library's in each thread, which streams past the
    caches where that is faster.

    Args:
        num_bytes: Of each tensor.
        tensors: How many the work reads and writes at least.
    """
    size, threads = num_bytes * tensors // 2, torch.get_num_threads()
    source, target = (torch.ones(size, dtype=torch.uint8) for _ in range(2))
    step = -(-size // threads)

    def copy_part(start: int) -> None:
        length = min(step, size - start)
        ctypes.memmove(target.data_ptr() + start, source.data_ptr() + start, length)

    copies = {"a copy": lambda: target.copy_(source)}
    if not is_gpu():
        parts = range(0, size, step)
        copies["a streaming copy"] = lambda: [*_pool(threads).map(copy_part, parts)]
    return Limit(copies, 1.0)


def matrix_rate(dtype: torch.dtype, flops: float) -> Limit:
    """A large matrix product, and how many of its operations the work has.

    By ``torch.mm``, and on a processor as a convolution of one pixel: the libraries behind them
    differ, and MKL leaves a third of an AMD processor unused in float32.
    """
    size = MATRIX_ON_GPU if is_gpu() else MATRIX
    a, b = (torch.randn(size, size, dtype=dtype) for _ in range(2))
    products = {"torch.mm": lambda: torch.mm(a, b)}
    if not is_gpu():
        image, kernel = a.view(1, size, size, 1), b.view(size, size, 1, 1)
        products["a product by convolution"] = lambda: F.conv2d(image, kernel)
    return Limit(products, flops / (2 * size**3))


@cache
def _pool(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads)
