"""What the machine can do at most, as functions that take part in the rounds."""

import torch
import torch.nn.functional as F

from dlplug.bench.device import is_gpu
from dlplug.bench.row import Limit
from dlplug.ops._stream_copy import stream_copy

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

    By PyTorch's copy, and by the compiled library's past the caches, which does not read what it
    writes first: faster where the tensors are larger than the caches. (The C library's own begins
    to do so from 302 MB on where glibc 2.36 takes an AMD processor's cache for 384 MiB.)

    Args:
        num_bytes: Of each tensor.
        tensors: How many the work reads and writes at least.
    """
    source, target = (torch.ones(-(-num_bytes * tensors // 8)) for _ in range(2))
    copies = {"a copy": lambda: target.copy_(source)}
    if source.device.type in stream_copy.devices:
        copies["a streaming copy"] = lambda: stream_copy(source, target)
    return Limit(copies, 1.0)


def matrix_rate(dtype: torch.dtype, flops: float) -> Limit:
    """A large matrix product, and how many of its operations the work has.

    By ``torch.mm``, and on a processor by oneDNN in its own layout: MKL, which PyTorch takes for
    float32, leaves half of an AMD processor unused.
    """
    size = MATRIX_ON_GPU if is_gpu() else MATRIX
    a, b = (torch.randn(size, size, dtype=dtype) for _ in range(2))
    products = {"torch.mm": lambda: torch.mm(a, b)}
    if not is_gpu() and torch.backends.mkldnn.is_available():
        x, weight = a.to_mkldnn(), b.to_mkldnn()
        products["a product by oneDNN"] = lambda: F.linear(x, weight)
    return Limit(products, flops / (2 * size**3))
