"""Attention's bfloat16 products by tiles of AMX, run by the emulation of ``csrc/emulation``."""

import pytest
import torch

from dlplug import ops
from tests.ops import attention_exactness as exactness
from tests.ops.attention_cases import draw, make_inputs, oracle, with_gradients
from tests.ops.emulated_tiles import emulated_tiles, needs_tiles
from tests.ops.test_attention_weights import KEYS, KINDS, assert_alike

pytestmark = needs_tiles
BF16 = torch.bfloat16
# Lengths of queries and keys with dimensions of heads: around the 16 rows of a tile, the 32 of a
# block, the 64 of a block of queries, the 128 of a pass and the 256 keys of a chunk; depths of less
# than a tile, of whole ones and of both.
SIZES = [
    (1, 1, 8),
    (15, 16, 20),
    (16, 17, 32),
    (17, 15, 64),
    (31, 31, 80),
    (65, 65, 128),
    (197, 197, 64),
    (300, 197, 32),
    (65, 300, 20),
    (31, 65, 256),
]


@pytest.fixture(autouse=True)
def tiles(request):
    """Every test multiplies by tiles, without a fault, and releases them."""
    with emulated_tiles() as products:
        yield
    sees_nothing = "[beyond]" in request.node.name
    assert (products[0] == 0) == sees_nothing


@pytest.mark.parametrize("is_causal", [False, True], ids=["whole", "causal"])
@pytest.mark.parametrize("sizes", SIZES, ids=str)
def test_as_good_as_torch(sizes, is_causal):
    """Outputs and gradients are at most twice as far from float64 as the formula in bfloat16."""
    queries, keys, width = sizes
    exactness.check_shape((1, 4, 2, queries, keys, width, width), BF16, is_causal)


def test_as_good_as_torch_with_values_of_other_widths():
    """Odd ones, and of one entry, whose rows are copied before they are read."""
    for shape in exactness.SHAPES:
        exactness.check_shape(shape, BF16, is_causal=False)


@pytest.mark.parametrize("name", [*exactness.POSITIONS, *exactness.TERMS])
def test_extras_round_at_most_twice_as_much(name):
    """Each extra, and all together; dropout drops what the reference drops."""
    exactness.check_extra(name, BF16)


@pytest.mark.parametrize("kind", ["bool", "float", "hiding", "like query"])
def test_masks_round_at_most_twice_as_much(kind):
    """Every shape of mask, alone and with all extras, with its gradient."""
    for shape in exactness.MASKS:
        exactness.check_mask(kind, shape, BF16)


def test_documents():
    """Packed, of the same lengths among the keys and of others."""
    exactness.check_documents(BF16)
    exactness.check_documents(BF16, length=300)
    exactness.check_documents_apart(BF16)


@pytest.mark.parametrize("name", exactness.FEW)
def test_few_queries(name):
    """Their forward pass takes no tiles, their gradients do."""
    exactness.check_few(name, BF16)


@pytest.mark.parametrize("number", range(12))
def test_features_together(number):
    """As drawn at random."""
    exactness.check_random(number, BF16)


def test_special_numbers_and_layouts():
    """Rows that see nothing, large scores, NaN and infinity, any strides."""
    exactness.check_blind_rows(BF16)
    exactness.check_large_scores(BF16)
    exactness.check_not_finite(BF16)
    exactness.check_layouts(BF16)


@pytest.mark.parametrize(
    "options, hidden",
    [
        ({"is_causal": True, "query_offset": 41}, slice(238, 300)),
        ({"window": (10, 103), "query_offset": 122}, slice(0, 112)),
    ],
    ids=["after", "before"],
)
def test_keys_that_nobody_sees_are_not_multiplied(options, hidden):
    """Not even by 0, which would make NaN of NaN: as those of a cache that is not full."""
    query, key, value, grad = make_inputs(1, 2, 2, 197, 300, 20, 20, BF16)
    key[:, :, hidden] = value[:, :, hidden] = torch.nan
    found = with_gradients(ops.attention, (query, key, value), grad, **options)
    assert all(x.isfinite().all() for x in found)


@pytest.mark.parametrize("kind", KINDS)
def test_both_passes_weigh_alike(kind):
    """A score has the same bits in whichever tile of which pass it stands, however large it is."""
    factor, options = KINDS[kind]
    query, key, *_ = make_inputs(1, 2, 2, 300, KEYS, 33, 1, BF16)
    # Keys that differ little compete for the weight.
    query, key = query * factor, (draw(33) + key.double() / 100).to(BF16) * factor
    value = torch.eye(KEYS, dtype=BF16).expand(1, 2, KEYS, KEYS).clone().requires_grad_()
    out = ops.attention(query, key, value, **options)
    for first in (0, 30, 100, 260):
        rows = slice(first, first + KEYS)
        grad = torch.zeros_like(out)
        grad[:, :, rows] = torch.eye(KEYS, dtype=BF16)
        (weights,) = torch.autograd.grad(out, value, grad, retain_graph=True)
        assert_alike(out[:, :, rows].detach(), weights.mT)


@pytest.mark.parametrize("is_causal", [False, True], ids=["whole", "causal"])
def test_any_number_of_threads_gives_the_same_bits(is_causal):
    """Each thread has tiles of its own."""
    *tensors, grad = make_inputs(2, 4, 2, 300, 330, 80, 64, BF16)
    before, found = torch.get_num_threads(), []
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            found.append(
                with_gradients(ops.attention, tensors, grad, is_causal=is_causal, enable_gqa=True)
            )
    finally:
        torch.set_num_threads(before)
    assert all(torch.equal(*pair) for pair in zip(*found, strict=True))


def test_tiles_are_another_way_to_the_numbers_of_vectors():
    """With AVX-512 none is multiplied; other bits, and an error that is at most twice as large."""
    *tensors, grad = make_inputs(2, 2, 2, 130, 150, 48, 64, BF16)
    by_tiles = with_gradients(ops.attention, tensors, grad)
    with emulated_tiles("avx512") as products:
        by_vectors = with_gradients(ops.attention, tensors, grad)
    assert products == [0]
    true = oracle(tensors, grad)
    # Rounded to bfloat16 two sums seldom differ: in all of a gradient perhaps not once.
    assert not all(map(torch.equal, by_tiles, by_vectors))
    for mine, other, exact in zip(by_tiles, by_vectors, true, strict=True):
        error = (mine.double() - exact).abs().max()
        assert error <= 2 * (other.double() - exact).abs().max()
