"""What the emulation of AMX's tiles computes, which faults it finds, and products by many tiles."""

import ctypes
import itertools

import pytest
import torch
from torch import Tensor

from dlplug import ops
from tests.ops.attention_cases import draw, make_inputs, with_gradients
from tests.ops.emulated_tiles import emulated_tiles, library, needs_tiles

pytestmark = needs_tiles
# Numbers of `Fault` in emulated_tiles.cpp; nothing is told of the first.
SOUND = 0
FAULTS = {
    1: "is used by a thread that has configured none",
    2: "is used by a thread that has configured none",
    3: "a palette that is not 1 is configured",
    4: "reserved bytes are configured",
    5: "tile 0 is configured with too many rows",
    6: "tile 0 is configured with too long rows",
    7: "tile 7 is configured by halves",
    8: "tile 8 does not exist",
    9: "tile 1 has no rows",
    10: "tile 0 is in a product of rows of half elements",
    11: "tile 0 is in a product of other shapes",
    12: "tile 0 is in a product of other shapes",
    13: "tile 0 is in a product of other shapes",
    14: "is in a product twice",
    15: "tile 0 was neither loaded nor cleared",
    16: "tile 1 was neither loaded nor cleared",
    17: "tile 0 was neither loaded nor cleared",
}
# Of `Disturbance` there: after the first tile.
DISTURBANCES = {
    1: "is used by a thread that has configured none",
    2: "tile 1 was neither loaded nor cleared",  # configured anew, it lost its sums
}
NAN = 0x7FC07FC0  # as a pair of bfloat16, and as float32


def paired(x: Tensor) -> Tensor:
    """``(2 K, N)`` as K rows of pairs, the first row's in the low half: int32 ``(K, N)``."""
    low, high = (x[first::2].view(torch.int16).int() for first in (0, 1))
    return (high << 16) | (low & 0xFFFF)


def product(left: Tensor, right: Tensor, sums: Tensor, fault: int = SOUND) -> tuple[str, Tensor]:
    """The fault that is told, and ``sums + left @ right`` by one instruction; of bfloat16."""
    result, pairs = sums.clone(), paired(right)
    library().multiply_once(
        *map(_number, (fault, len(left), len(pairs))), *map(_address, (left, pairs, result))
    )
    return library().take_fault().decode(), result


def _number(x: int) -> ctypes.c_int64:
    return ctypes.c_int64(x)


def _address(x: Tensor) -> ctypes.c_void_p:
    assert x.is_contiguous()
    return ctypes.c_void_p(x.data_ptr())


def plain_product(left: Tensor, right: Tensor, sums: Tensor) -> Tensor:
    """Rounded as the manual says: even and odd entries apart, from 0 on, added up at the end.

    A product of two bfloat16 is exact in float32; float64 holds its sum with a float32 to more than
    twice the digits, so rounding that once more is rounding once.
    """
    partial = [torch.zeros_like(sums), torch.zeros_like(sums)]
    for k in range(left.shape[1]):
        term = left[:, k].double()[:, None] * right[k].double()
        partial[k % 2] = (partial[k % 2].double() + term).float()
    return sums + (partial[0] + partial[1])


@pytest.mark.parametrize("rows", [1, 7, 16])
@pytest.mark.parametrize("pairs", [1, 5, 16])
def test_a_product_has_the_bits_of_a_plain_loop(rows, pairs):
    """Of every shape of tiles; sums of no other row or column are touched."""
    left, right = draw(rows, 2 * pairs).bfloat16(), draw(2 * pairs, 16).bfloat16()
    sums = draw(rows, 16, seed=1)
    fault, found = product(left, right, sums)
    assert fault == ""
    assert torch.equal(found, plain_product(left, right, sums))


def test_denormals_count_as_zero():
    """Those that go in, and those that come out, though the thread keeps them."""
    tiny = torch.finfo(torch.float32).tiny
    ones, sums = torch.ones(16, 2, dtype=torch.bfloat16), torch.zeros(16, 16)
    huge = torch.full((2, 16), 1e30, dtype=torch.bfloat16)
    assert product(ones * (tiny / 2), huge, sums)[1].eq(0).all()
    assert product(ones * 1e-20, huge * 1e-50, sums)[1].eq(0).all()
    assert product(ones * 0, huge, sums + tiny / 2)[1].eq(0).all()
    assert product(ones * tiny, huge, sums)[1].gt(0).all()  # the smallest number that counts
    assert torch.tensor(tiny).div(2).ne(0)


def test_nan_and_infinity_go_through():
    """Into the sums of their row or column."""
    left, right = torch.ones(16, 2).bfloat16(), torch.ones(2, 16).bfloat16()
    left[3, 1], right[0, 5] = torch.inf, torch.nan
    _, found = product(left, right, torch.zeros(16, 16))
    assert found[:, 5].isnan().all() and found[3, :5].isinf().all()
    assert found.isfinite().sum() == 15 * 15


@pytest.mark.parametrize("number", FAULTS)
def test_faults_are_told(number):
    """Tiles that are not configured, of wrong shapes, not loaded, not cleared."""
    operands = draw(9, 12).bfloat16(), draw(12, 16).bfloat16(), draw(9, 16)
    assert product(*operands)[0] == ""
    assert FAULTS[number] in product(*operands, number)[0]
    assert library().take_fault() == b""


def framed(x: Tensor) -> tuple[Tensor, Tensor]:
    """``x`` within a wider tensor of NaN, and that tensor: int32, which may be read as float32."""
    beside = 16  # rows, and columns: more than a tile may lack
    whole = torch.full([size + 2 * beside for size in x.shape], NAN, dtype=torch.int32)
    inner = whole[beside:-beside, beside:-beside]
    inner.copy_(x.view(torch.int32))
    return inner, whole


def multiply(left, right, before=None, is_transposed=False, are_used=True, disturbance=0):
    """``multiply_by_tiles``: ``(rows, 2 K)`` times ``(2 K, N)``, N whole vectors.

    Beside the rows of each operand and of the result, and above and below, all is NaN and stays so.
    """
    rows, depth, vectors = len(left), left.shape[1] // 2, right.shape[1] // 16
    pairs = paired(left.T)
    sums = torch.full((rows, 16 * vectors), torch.nan) if before is None else before
    operands = [framed(x) for x in (pairs if is_transposed else pairs.T, paired(right), sums)]
    strided = []
    for inner, _ in operands:
        strided += [ctypes.c_void_p(inner.data_ptr()), _number(inner.stride(0))]
    library().multiply_all(
        *map(_number, (are_used, disturbance, is_transposed, rows, vectors, depth)),
        *strided,
        _number(before is not None),
    )
    result = operands[-1][0].clone()
    for inner, whole in operands:
        inner.fill_(NAN)
        assert whole.eq(NAN).all(), "something was written beside an operand"
    return library().take_fault().decode(), result.view(torch.float32)


def in_parts(left: Tensor, right: Tensor, sums: Tensor) -> Tensor:
    """16 pairs of the depth after the other, each a product of the instruction."""
    for begin in range(0, left.shape[1], 32):
        part = slice(begin, begin + 32)
        sums = plain_product(left[:, part], right[part], sums)
    return sums


@pytest.mark.parametrize("is_transposed", [False, True], ids=["rows", "transposed"])
@pytest.mark.parametrize("depth", [1, 9, 16, 25, 32])
def test_products_of_any_size(is_transposed, depth):
    """Around the 32 rows, the two columns and the 16 pairs of a block, set and added to.

    Nothing else decides about them: memory beside the factors is NaN, or a sanitizer's.
    """
    for rows, vectors in itertools.product((1, 15, 16, 17, 31, 32, 33, 47, 64), (1, 2, 3)):
        left, right = draw(rows, 2 * depth).bfloat16(), draw(2 * depth, 16 * vectors).bfloat16()
        before = draw(rows, 16 * vectors, seed=1)
        for sums in (None, before):
            fault, found = multiply(left, right, sums, is_transposed)
            zeros = torch.zeros_like(before)
            assert fault == "" and torch.equal(
                found, in_parts(left, right, zeros if sums is None else sums)
            )
    assert library().num_configured() == 0  # a thread releases its tiles


def test_no_depth_sets_sums_to_zero():
    """Or leaves them, where it would add."""
    left, right, before = draw(20, 0).bfloat16(), draw(0, 32).bfloat16(), draw(20, 32)
    assert multiply(left, right)[1].eq(0).all()
    assert torch.equal(multiply(left, right, before)[1], before)


def test_a_row_has_the_same_bits_wherever_it_stands():
    """As the backward pass takes the scores of the forward pass's blocks in other ones."""
    left, right = draw(64, 90).bfloat16(), draw(90, 48).bfloat16()
    _, whole = multiply(left, right)
    for first, last in ((0, 5), (7, 30), (33, 64), (16, 17)):
        assert torch.equal(multiply(left[first:last], right)[1], whole[first:last])


def test_faults_within_a_product_are_told():
    """A thread that has configured no tiles, or has them released or changed meanwhile."""
    left, right = draw(40, 64).bfloat16(), draw(64, 32).bfloat16()
    assert multiply(left, right)[0] == ""
    assert "has configured none" in multiply(left, right, are_used=False)[0]
    for disturbance, told in DISTURBANCES.items():
        assert told in multiply(left, right, disturbance=disturbance)[0]


@pytest.mark.parametrize("isa", ["avx512", "amx"])
def test_attention_has_the_bits_of_the_package_s_library(isa):
    """Where a processor has AMX, the emulation does what it does."""
    if isa not in ops.isas():
        pytest.skip(f"the package has no kernels here for {isa}")
    *tensors, grad = make_inputs(1, 2, 2, 197, 165, 40, 64, torch.bfloat16)
    with ops.use_backend("cpu"), ops.use_isa(isa):
        expected = with_gradients(ops.attention, tensors, grad, is_causal=True)
    with emulated_tiles(isa):
        found = with_gradients(ops.attention, tensors, grad, is_causal=True)
    assert all(torch.equal(*pair) for pair in zip(found, expected, strict=True))
