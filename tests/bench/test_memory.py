"""Memory: what a call takes, and what the allocator keeps."""

import os
import re
from pathlib import Path

import pytest
import torch

from dlplug.bench import allocator, memory

MIB = 1 << 20
SIZE = 64 * MIB


def peak(call):
    found = memory.peak_growth(call)
    if found is None:
        pytest.skip("the system does not let a process reset its peak")
    return found


@pytest.mark.parametrize("setting", ["tuned", "default"])
def test_outputs_and_workspace_count(setting):
    """What is returned, and what was freed within the call; with either allocator."""
    with allocator.allocator(setting):
        returned = peak(lambda: torch.ones(SIZE, dtype=torch.uint8))
        freed = peak(lambda: torch.ones(SIZE, dtype=torch.uint8)[0].item())
    # The kernel adds up each thread's pages in batches.
    assert SIZE - MIB <= returned < SIZE + 8 * MIB
    assert SIZE - MIB <= freed < SIZE + 8 * MIB


def test_a_call_that_allocates_nothing_takes_next_to_nothing():
    """The peak of what came before does not count."""
    torch.ones(SIZE, dtype=torch.uint8)
    assert peak(lambda: None) < MIB


def resident():
    """Bytes of this process in memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def heap():
    """Addresses that the C library's heap spans: the kernel lists it in one part or several."""
    lines = Path("/proc/self/maps").read_text().splitlines()
    parts = [re.match(r"(\w+)-(\w+)", line).groups() for line in lines if line.endswith("[heap]")]
    assert parts, "no heap"
    return int(parts[0][0], 16), int(parts[-1][1], 16)


@pytest.mark.skipif(allocator.settings(("tuned",)) != ("tuned",), reason="not glibc")
def test_large_blocks_stay_in_the_heap_when_it_is_tuned():
    """By default they are mapped, and unmapped when they are freed."""
    with allocator.allocator("default"):
        mapped = torch.empty(SIZE, dtype=torch.uint8)
        start, end = heap()
        assert not start <= mapped.data_ptr() < end
    with allocator.allocator("tuned"):
        kept = torch.ones(SIZE, dtype=torch.uint8)
        start, end = heap()
        assert start <= kept.data_ptr() < end
        used = resident()
        del kept
        assert resident() > used - MIB
    allocator.release()
    assert resident() < used - SIZE + MIB


def test_without_glibc_there_is_the_default_alone(monkeypatch):
    """Rows then say so."""
    monkeypatch.setattr(allocator, "_libc", lambda: None)
    assert allocator.settings(("tuned", "default")) == ("default",)
    with allocator.allocator("default"):
        allocator.release()


def test_available_memory_is_between_nothing_and_everything():
    """Bytes."""
    found = memory.available()
    if found is None:
        pytest.skip("no /proc/meminfo here")
    assert 1e7 < found < 1e14
