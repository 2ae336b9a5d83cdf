"""Where rows are measured: PyTorch's default device, as `dlplug.bench.session` sets it.

Rows make their tensors without naming a device.
"""

import torch

CPU, CUDA = "cpu", "cuda"


def is_gpu() -> bool:
    """Whether it is a GPU, whose work goes on after a call returns."""
    return torch.get_default_device().type == CUDA


def finish() -> None:
    """Wait until the device has done all that it was given; a processor has."""
    if is_gpu():
        torch.cuda.synchronize()
