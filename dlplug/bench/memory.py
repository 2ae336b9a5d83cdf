"""Memory of this process and of the machine, as Linux tells it, or that of a GPU."""

from collections.abc import Callable
from pathlib import Path

import torch

from dlplug.bench.allocator import release
from dlplug.bench.device import is_gpu

PROCESS = Path("/proc/self")
KIB = 1024


def peak_growth(call: Callable[[], object]) -> int | None:
    """Bytes by which a call raises the peak of memory: outputs and workspace.

    Counts pages that are touched, whoever allocates them. Free memory goes back to the system
    first, so that none of it is taken again unseen. On a GPU it counts what PyTorch allocates.

    Args:
        call: What to measure.
    Returns:
        Bytes, as exact as the kernel counts pages; None where the system does not let a process
        reset its peak.
    """
    call()
    release()
    if is_gpu():
        return _peak_growth_on_gpu(call)
    try:
        (PROCESS / "clear_refs").write_text("5")
    except OSError:
        return None
    before = _status("VmRSS")
    kept = call()
    peak = _status("VmHWM")
    del kept
    return max(0, peak - before)


def _peak_growth_on_gpu(call: Callable[[], object]) -> int:
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    kept = call()
    peak = torch.cuda.max_memory_allocated()
    del kept
    return peak - before


def available() -> int | None:
    """Bytes that can be allocated without swapping; None where the system does not tell."""
    if is_gpu():
        return torch.cuda.mem_get_info()[0]
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return None
    found = [line.split()[1] for line in lines if line.startswith("MemAvailable:")]
    return int(found[0]) * KIB if found else None


def _status(key: str) -> int:
    for line in (PROCESS / "status").read_text().splitlines():
        name, _, value = line.partition(":")
        if name == key:
            return int(value.split()[0]) * KIB
    raise KeyError(key)
