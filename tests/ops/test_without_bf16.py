"""AVX-512 without AVX512_BF16: bfloat16 is multiplied as float32, and rounded by integers."""

from pathlib import Path

import pytest
import torch

from dlplug import ops
from dlplug.ops._isa import without_bf16
from tests.ops import attention_exactness as exactness
from tests.ops.attention_cases import make_inputs, oracle, with_gradients
from tests.ops.norm_cases import (
    ADD_LAYER_NORM,
    ADD_RMS_NORM,
    LAYER_NORM,
    RMS_NORM,
    outputs_and_gradients,
)

pytestmark = pytest.mark.skipif("avx512" not in ops.isas(), reason="no AVX-512 here")
CPU_INFO = Path("/proc/cpuinfo")
needs_bf16 = pytest.mark.skipif(
    not CPU_INFO.exists() or "avx512_bf16" not in CPU_INFO.read_text(),
    reason="this processor has no AVX512_BF16 to do without",
)
BF16 = torch.bfloat16


@pytest.fixture(autouse=True)
def avx512(cpu_kernels):
    with ops.use_isa("avx512"):
        yield


@needs_bf16
def test_it_is_done_without():
    """Attention has other bits then, and is nearer to float64."""
    *tensors, grad = make_inputs(1, 2, 2, 130, 150, 48, 64, BF16)
    native = with_gradients(ops.attention, tensors, grad)
    with without_bf16():
        found = with_gradients(ops.attention, tensors, grad)
    assert all(map(torch.equal, with_gradients(ops.attention, tensors, grad), native))
    for mine, other, exact in zip(found, native, oracle(tensors, grad), strict=True):
        assert not torch.equal(mine, other)
        assert (mine.double() - exact).norm() < (other.double() - exact).norm()


@pytest.mark.parametrize("norm", [LAYER_NORM, RMS_NORM, ADD_LAYER_NORM, ADD_RMS_NORM], ids=str)
def test_norms_have_the_same_bits(norm):
    """Rounding is rounding: outputs and all gradients, of rows of any length."""
    for width in (7, 16, 33, 192, 1000):
        inputs = norm.draw((37, width), BF16)
        native = outputs_and_gradients(norm.ours, inputs)
        with without_bf16():
            found = outputs_and_gradients(norm.ours, inputs)
        assert all(map(torch.equal, found, native))


def test_attention_is_as_good_as_torch():
    """With all extras, masks, documents and few queries, too."""
    with without_bf16():
        for shape in exactness.SHAPES:
            exactness.check_shape(shape, BF16, is_causal=True)
        exactness.check_extra("all", BF16)
        exactness.check_few("all", BF16)
        exactness.check_mask("hiding", exactness.MASKS[0], BF16)
        exactness.check_documents_apart(BF16)
        exactness.check_not_finite(BF16)
