"""Memory that a process or a GPU has used at most."""

import os
import re
import resource
from contextlib import suppress
from pathlib import Path

import torch

from dlplug.errors import InvalidValueError

UNITS = {"": 1, "k": 2**10, "m": 2**20, "g": 2**30, "t": 2**40}
STATUS, RESET = Path("/proc/self/status"), Path("/proc/self/clear_refs")


class PeakMemory:
    """The most memory since the last `reset`, in bytes: of the GPU, else of the whole process.

    Args:
        device: Where the training takes place.
    """

    def __init__(self, device: torch.device):
        self.device = device

    def reset(self) -> None:
        """Start anew; where the system cannot, the peak is that since the start of the process."""
        if self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self.device)
        else:
            with suppress(OSError):
                RESET.write_text("5")  # proc(5): the peak becomes the present size

    def read(self) -> int:
        """Bytes."""
        if self.device.type == "cuda":
            return torch.cuda.max_memory_allocated(self.device)
        with suppress(OSError):
            if found := re.search(r"VmHWM:\s*(\d+) kB", STATUS.read_text()):
                return int(found[1]) * 1024
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024

    def limit(self) -> int:
        """Bytes that can be used: the GPU's memory, or what this machine has now and uses not."""
        if self.device.type == "cuda":
            return torch.cuda.get_device_properties(self.device).total_memory
        with suppress(OSError):
            text = Path("/proc/meminfo").read_text()
            if found := re.search(r"MemAvailable:\s*(\d+) kB", text):
                return self.read() + int(found[1]) * 1024
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def bytes_of(text: str) -> int:
    """``4GB``, ``512 MiB`` or a number of bytes; K, M, G and T are powers of 1024.

    Raises:
        InvalidValueError: it is none of these.
    """
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([kmgt]?)(?:i?b)?\s*", text, re.IGNORECASE)
    if not found or not float(found[1]):
        raise InvalidValueError(f"'{text}' is no amount of memory", known="such as 4GB or 512MB")
    return int(float(found[1]) * UNITS[found[2].lower()])


def mebibytes(count: float) -> str:
    """``12.3 MiB``."""
    value = count / 2**20
    return f"{value:.1f} MiB" if value < 100 else f"{value:,.0f} MiB"


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an allocation failed, on a GPU or on the CPU."""
    if isinstance(error, (torch.OutOfMemoryError, MemoryError)):
        return True
    return isinstance(error, RuntimeError) and "DefaultCPUAllocator" in str(error)
