"""Where rows are measured, as `dlplug.bench.session` says it.

Rows make their tensors without naming a device.
"""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

import torch

CPU, CUDA = "cpu", "cuda"
_current = CPU


@contextmanager
def measuring_on(device: str) -> Iterator[None]:
    """Within, it is this one: ``cpu`` or ``cuda``."""
    global _current
    before, _current = _current, device
    try:
        yield
    finally:
        _current = before


def current() -> str:
    """Which it is."""
    return _current


def making_tensors() -> AbstractContextManager:
    """Within, tensors that name no device land there.

    For building alone. What is timed has no default device, as in a training: each op would take a
    call in Python more, and AdamW's steps, which PyTorch leaves on the CPU, would be waited for.
    """
    return nullcontext() if _current == CPU else torch.device(_current)


def is_gpu() -> bool:
    """Whether it is a GPU, whose work goes on after a call returns."""
    return _current == CUDA


def finish() -> None:
    """Wait until the device has done all that it was given; a processor has."""
    if is_gpu():
        torch.cuda.synchronize()
