"""RMSNorm: what holds for every norm."""

import torch

from dlplug import ops
from tests.ops.norm_cases import RMS_NORM, each_isa, error
from tests.ops.norm_properties import NormProperties, needs_kernels


class TestRMSNorm(NormProperties):
    norm = RMS_NORM


@needs_kernels
def test_even_few_elements_take_the_kernel():
    """PyTorch composes its RMSNorm of several ops, so the kernel is faster at every size."""
    assert ops.explain(ops.rms_norm, torch.randn(1, 2)).backend == "cpu"


@needs_kernels
@each_isa
def test_long_rows_of_equal_numbers(isa):
    """Roundings of sums, which here go one way, do not add up over thousands of columns."""
    x = torch.full((4, 3883), 0.7)
    true = ops.rms_norm(x.double(), eps=1e-6)
    theirs = torch.nn.functional.rms_norm(x, x.shape[1:], eps=1e-6)
    with ops.use_backend("cpu"), ops.use_isa(isa):
        mine = ops.rms_norm(x, eps=1e-6)
    assert error(mine, true) <= 2 * error(theirs, true) + torch.finfo(torch.float32).eps
