"""Rounding between float32 and the narrow types in the kernels, at every instruction set.

With AVX-512 in both ways: by AVX512_BF16, and by integers as where a processor lacks that.
"""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

import pytest
import torch

from dlplug import ops
from dlplug.ops._isa import without_bf16
from tests.ops.norm_properties import needs_kernels

NARROW = [torch.bfloat16, torch.float16]
BY_INTEGERS = "avx512 by integers"
needs_avx512 = pytest.mark.skipif("avx512" not in ops.isas(), reason="no AVX-512 here")
each_rounding = pytest.mark.parametrize(
    "isa", [*(ops.isas() or [None]), pytest.param(BY_INTEGERS, marks=needs_avx512)]
)


@contextmanager
def rounding(isa: str) -> Iterator[None]:
    """Within, kernels of this level round, by integers if it says so."""
    name, _, by_integers = isa.partition(" ")
    with ops.use_isa(name), without_bf16() if by_integers else nullcontext():
        yield


def through_kernel(bias: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """``bias`` rounded to ``dtype``: with a weight of 0, LayerNorm gives its bias."""
    x = torch.randn(1, bias.numel(), dtype=dtype)
    with ops.use_backend("cpu"):
        return ops.layer_norm(x, torch.zeros_like(bias), bias)[0]


@needs_kernels
@each_rounding
@pytest.mark.parametrize("dtype", NARROW, ids=["bfloat16", "float16"])
def test_every_narrow_number_survives(isa, dtype):
    """All 65,536 bit patterns are widened and narrowed without change, denormals included."""
    patterns = torch.arange(-(2**15), 2**15, dtype=torch.int16).view(dtype)
    with rounding(isa):
        found = through_kernel(patterns, dtype)
    torch.testing.assert_close(found, patterns, rtol=0, atol=0, equal_nan=True)


@needs_kernels
@each_rounding
@pytest.mark.parametrize("dtype", NARROW, ids=["bfloat16", "float16"])
def test_rounding_is_to_nearest_even_as_in_torch(isa, dtype):
    """Drawn numbers of every exponent, ties, overflow, denormals and NaN round as in PyTorch."""
    numbers = torch.Generator().manual_seed(0)
    drawn = torch.randint(-(2**31), 2**31, (100_000,), generator=numbers).to(torch.int32)
    near = torch.arange(0x3F7F0000, 0x3F7F0000 + 70_000, dtype=torch.int32)  # around 1, all ties
    tiny = torch.arange(
        0x33000000, 0x33000000 + 3 * 2**23, 997, dtype=torch.int32
    )  # half denormals
    large = torch.arange(0x477F0000, 0x477F0000 + 70_000, dtype=torch.int32)  # around 65504
    bias = torch.cat([drawn, near, tiny, large]).view(torch.float32)
    with rounding(isa):
        found = through_kernel(bias, dtype)
    torch.testing.assert_close(found, bias.to(dtype), rtol=0, atol=0, equal_nan=True)


@needs_kernels
@each_rounding
@pytest.mark.parametrize("dtype", NARROW, ids=["bfloat16", "float16"])
def test_sums_are_rounded_as_in_torch(isa, dtype):
    """What the next layer reads, x + residual, in groups of rows: ties, denormals, 0, infinity."""
    numbers = torch.Generator().manual_seed(0)
    x, residual = (
        torch.randint(-(2**15), 2**15, (9, 1000), generator=numbers, dtype=torch.int16).view(dtype)
        for _ in range(2)
    )
    residual[::2] = x[::2].roll(1, 1)  # of near sizes, so that both terms count
    x[1, :40], x[2, 32:96] = 0, 1e-40
    residual[1, :40], residual[2, 32:96] = 0, -3e-40
    with ops.use_backend("cpu"), rounding(isa):
        _, h = ops.add_layer_norm(x, residual)
    torch.testing.assert_close(h, x + residual, rtol=0, atol=0, equal_nan=True)
