"""Attention's CUDA kernels, run by the emulation of ``csrc/emulation``."""

import pytest
import torch

from dlplug import ops
from dlplug.ops import _attention_choice as choice
from tests.ops import attention_exactness as exactness
from tests.ops.attention_cases import DTYPES, make_inputs, with_gradients
from tests.ops.emulation import emulated, needs_emulation

pytestmark = needs_emulation
each_dtype = pytest.mark.parametrize("dtype", DTYPES, ids=["float32", "bfloat16", "float16"])


@pytest.fixture(autouse=True)
def cuda_kernels():
    """On tensors of the CPU; a call that they do not take is an error."""
    with emulated():
        yield


@each_dtype
@pytest.mark.parametrize("is_causal", [False, True], ids=["whole", "causal"])
def test_as_good_as_torch(dtype, is_causal):
    """Outputs and gradients are at most twice as far from float64 as PyTorch's own."""
    for shape in exactness.SHAPES:
        exactness.check_shape(shape, dtype, is_causal)


@each_dtype
@pytest.mark.parametrize("name", [*exactness.POSITIONS, *exactness.TERMS])
def test_extras_round_at_most_twice_as_much(dtype, name):
    """Each extra, and all together."""
    exactness.check_extra(name, dtype)


@each_dtype
@pytest.mark.parametrize("sizes", [(20, 70, 128, 90), (35, 20, 100, 256)], ids=str)
def test_all_extras_of_wide_heads(dtype, sizes):
    """The kernels of the widths 128 and 256, whose tiles have fewer rows."""
    exactness.check_extra("all", dtype, sizes=sizes)


@pytest.mark.parametrize(
    "kind, dtype",
    [
        ("bool", torch.float32),
        ("float", torch.float32),
        ("hiding", torch.float32),
        ("hiding", torch.float16),
        ("like query", torch.bfloat16),
    ],
    ids=str,
)
def test_masks_round_at_most_twice_as_much(kind, dtype):
    """Every shape of mask, alone and with all extras, with its gradient."""
    for shape in exactness.MASKS:
        exactness.check_mask(kind, shape, dtype)


@each_dtype
def test_packed_documents(dtype):
    """Documents of one token, of none, and over the borders of tiles."""
    exactness.check_documents(dtype)


@each_dtype
def test_packed_documents_of_other_lengths_among_the_keys(dtype):
    """Positions count from each document's start; some have no queries, some no keys."""
    exactness.check_documents_apart(dtype)


@each_dtype
def test_a_query_that_sees_nothing_gives_zero_and_gradient_zero(dtype):
    """By its position or by a mask; whole tiles of them, and some within one."""
    exactness.check_blind_rows(dtype)


@pytest.mark.parametrize("name, offset", [("plain", 2000), ("sinks", -2000), ("drop", -2000)])
def test_slopes_learn_from_queries_far_from_all_keys(name, offset):
    """The output, which is rounded to the dtype, does not meet the distance."""
    exactness.check_far_slopes(torch.bfloat16, name, offset)


@each_dtype
def test_large_scores_do_not_overflow(dtype):
    """They pick the largest key, as in torch."""
    exactness.check_large_scores(dtype)
    exactness.check_equal_large_scores(dtype)


@each_dtype
def test_nan_and_infinity_go_where_they_go_in_torch(dtype):
    """In a query, a key, a value or a mask."""
    exactness.check_not_finite(dtype)


@each_dtype
def test_any_strides_give_the_contiguous_result(dtype):
    """Bit for bit, also of a mask and of the output's gradient."""
    exactness.check_layouts(dtype)


@each_dtype
def test_tiles_that_nobody_sees_are_not_read(dtype):
    """Beyond a causal border, a window or a document."""
    exactness.check_hidden_tiles(dtype)


@each_dtype
def test_blocks_that_a_mask_hides_are_not_read(dtype):
    """By a bool mask, and by -inf of a float one."""
    exactness.check_blocks_hidden_by_a_mask(dtype)


@each_dtype
@pytest.mark.parametrize("name", exactness.FEW)
def test_few_queries_beside_many_keys(dtype, name):
    """The keys are split, and read once for all heads that share them."""
    exactness.check_few(name, dtype)


@pytest.mark.parametrize("name", [None, *exactness.TERMS], ids=str)
def test_tf32_rounds_as_float16(monkeypatch, name):
    """Where PyTorch's products may, too."""
    monkeypatch.setattr(choice, "may_use_tf32", lambda query: query.dtype == torch.float32)
    exactness.check_tf32(name)


@pytest.mark.parametrize("sizes", [(20, 70, 128, 90), (35, 20, 100, 256)], ids=str)
def test_tf32_of_wide_heads(monkeypatch, sizes):
    """The kernels of the widths 128 and 256, whose tiles have fewer rows."""
    monkeypatch.setattr(choice, "may_use_tf32", lambda query: query.dtype == torch.float32)
    exactness.check_tf32("all", sizes=sizes)


@each_dtype
@pytest.mark.parametrize("first", range(0, 15, 5))
def test_random_products_of_features(dtype, first):
    """Any number of them together."""
    for number in range(first, first + 5):
        exactness.check_random(number, dtype)


def test_no_queries_or_no_keys():
    """The operators themselves: ``attention`` computes these in plain PyTorch."""
    exactness.check_empty()


@each_dtype
def test_the_order_of_threads_changes_no_bit(dtype):
    """Forwards, backwards or at random: nothing is read before it is written, no sum is a race."""
    for sizes in ((70, 150, 24, 20), (20, 70, 128, 90), (35, 20, 100, 256), (5, 300, 24, 90)):
        *tensors, grad = make_inputs(1, 2, 1, *sizes, dtype)
        mask = exactness.make_mask("float", (1, sizes[1]), dtype)
        options = exactness.TERMS["all"] | {"enable_gqa": True, "attn_mask": mask}
        results = []
        for order in (0, 1, 7):
            torch.manual_seed(3)
            with emulated(order):
                results.append(with_gradients(ops.attention, tensors, grad, **options))
        for other in results[1:]:
            assert all(map(torch.equal, results[0], other)), sizes


def test_many_heads_that_share_a_mask():
    """Its gradient is added up over several heads by a block, and over blocks."""
    inputs = make_inputs(3, 9, 3, 20, 30, 8, 8)
    for shape in ((20, 30), (9, 20, 30), (3, 1, 20, 1), (1, 30)):
        mask = exactness.make_mask("hiding", shape, torch.float32)
        found, _, true = exactness.found_and_reference(inputs, "cpu", attn_mask=mask)
        for mine, exact in zip(found, true, strict=True):
            torch.testing.assert_close(mine.double(), exact, rtol=1e-4, atol=1e-4)
