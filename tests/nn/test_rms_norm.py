"""RMSNorm as a module."""

import pytest
import torch

from dlplug.nn import RMSNorm
from tests.nn.norm_modules import NormModuleProperties


class TestRMSNorm(NormModuleProperties):
    ours = RMSNorm
    theirs = torch.nn.RMSNorm
    function = "rms_norm"


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16, torch.float64])
def test_the_default_eps_is_torch_s(dtype):
    """eps=None stands for the same number as in torch.nn: it decides where inputs are tiny."""
    x = torch.full((2, 8), 1e-4, dtype=dtype)
    ours, theirs = RMSNorm(8, dtype=dtype), torch.nn.RMSNorm(8, dtype=dtype)
    assert ours.eps is None
    torch.testing.assert_close(ours(x), theirs(x))
