"""Amounts of memory."""

import mmap

import pytest
import torch

from dlplug.diagnostics.memory import STATUS, PeakMemory, bytes_of, is_out_of_memory, mebibytes
from dlplug.errors import InvalidValueError


@pytest.mark.parametrize(
    ("text", "count"), [("4GB", 4 * 2**30), ("512 MiB", 2**29), ("1.5k", 1536), ("100", 100)]
)
def test_amounts_are_read(text, count):
    """With the usual units."""
    assert bytes_of(text) == count


@pytest.mark.parametrize("text", ["much", "-1GB", "0", "4 XB"])
def test_what_is_no_amount_is_refused(text):
    """The message holds it."""
    with pytest.raises(InvalidValueError, match=f"'{text}' is no amount of memory"):
        bytes_of(text)


def resident():
    """Bytes of this process that are in memory now."""
    (line,) = (line for line in STATUS.read_text().splitlines() if line.startswith("VmRSS"))
    return int(line.split()[1]) * 1024


def test_the_peak_of_the_process_is_known():
    """It stays when memory is given back, until it is reset; there is more to be had."""
    memory = PeakMemory(torch.device("cpu"))
    memory.reset()
    with mmap.mmap(-1, 64 * 2**20) as kept:  # not malloc, which need not give back what is freed
        for page in range(0, len(kept), mmap.PAGESIZE):
            kept[page] = 1
        peak, size = memory.read(), resident()
    slack = 2**20  # the kernel counts pages for each processor, and sums them up now and then
    assert peak + slack >= size > resident() + 32 * 2**20
    assert memory.read() + slack >= peak and memory.limit() > peak
    memory.reset()
    assert memory.read() < peak - 32 * 2**20


def test_out_of_memory_is_told_from_other_errors():
    """On a GPU and on the CPU."""
    assert is_out_of_memory(torch.OutOfMemoryError())
    assert is_out_of_memory(RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate"))
    assert not is_out_of_memory(RuntimeError("shape"))
    assert (mebibytes(2**20), mebibytes(2**30)) == ("1.0 MiB", "1,024 MiB")
