"""What the shares of the limit are shares of."""

import pytest
import torch

from dlplug.bench import limits


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_products_of_the_matrix_rate_are_whole(dtype, monkeypatch):
    """Each library does one product of the size whose operations are counted."""
    monkeypatch.setattr(limits, "MATRIX", 48)
    limit = limits.matrix_rate(dtype, flops=2 * 2 * 48**3)
    assert limit.share == 2 and len(limit.runs) == 1 + torch.backends.mkldnn.is_available()
    assert [run().shape for run in limit.runs.values()] == [(48, 48)] * len(limit.runs)
