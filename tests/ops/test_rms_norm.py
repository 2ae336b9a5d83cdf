"""RMSNorm: what holds for every norm."""

import torch

from dlplug import ops
from tests.ops.norm_cases import RMS_NORM
from tests.ops.norm_properties import NormProperties, needs_kernels


class TestRMSNorm(NormProperties):
    norm = RMS_NORM


@needs_kernels
def test_even_few_elements_take_the_kernel():
    """PyTorch composes its RMSNorm of several ops, so the kernel is faster at every size."""
    assert ops.explain(ops.rms_norm, torch.randn(1, 2)).backend == "cpu"
