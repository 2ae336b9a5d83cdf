"""Tests that need much of a GPU's memory."""

import pytest
import torch


def needs_memory(gibibytes: int) -> None:
    """Skip the test where less is free; what PyTorch keeps of earlier tests counts as free."""
    torch.cuda.empty_cache()
    free = torch.cuda.mem_get_info()[0] / 2**30
    if free < gibibytes:
        pytest.skip(f"needs {gibibytes} GiB of free GPU memory, {free:.0f} are")
