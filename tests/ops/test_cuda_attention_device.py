"""Attention's CUDA kernels on a GPU: what the emulation's tests hold, and what a device has."""

import pytest
import torch

from dlplug import ops
from tests.ops import attention_exactness as exactness
from tests.ops.attention_cases import DTYPES, allowed_tf32, make_inputs, with_gradients
from tests.ops.gpu import assert_replays, needs_gpu
from tests.ops.gpu_memory import needs_memory

pytestmark = needs_gpu
each_dtype = pytest.mark.parametrize("dtype", DTYPES, ids=["float32", "bfloat16", "float16"])
LARGE = [
    (1, 4, 2, 1000, 1000, 64, 64),
    (2, 2, 1, 700, 1300, 128, 128),
    (1, 2, 2, 520, 300, 256, 256),
]


@pytest.fixture(autouse=True)
def cuda_kernels():
    """A call that the kernels do not take is an error, so that no test passes by falling back."""
    with ops.use_backend("cuda"):
        yield


@each_dtype
@pytest.mark.parametrize("is_causal", [False, True], ids=["whole", "causal"])
def test_as_good_as_torch(dtype, is_causal):
    """Outputs and gradients are at most twice as far from float64 as PyTorch's own."""
    for shape in exactness.SHAPES + LARGE:
        exactness.check_shape(shape, dtype, is_causal, "cuda")


@each_dtype
@pytest.mark.parametrize("sizes", [(70, 300, 24, 20), (130, 200, 128, 90), (65, 90, 100, 256)])
@pytest.mark.parametrize("name", [*exactness.POSITIONS, *exactness.TERMS])
def test_extras_round_at_most_twice_as_much(dtype, name, sizes):
    """Each extra, and all together."""
    exactness.check_extra(name, dtype, "cuda", sizes)


@each_dtype
@pytest.mark.parametrize("kind", ["bool", "float", "hiding", "like query"])
def test_masks_round_at_most_twice_as_much(dtype, kind):
    """Every shape of mask, alone and with all extras, with its gradient."""
    for shape in exactness.MASKS:
        exactness.check_mask(kind, shape, dtype, "cuda")


@each_dtype
@pytest.mark.parametrize(
    "check",
    [
        exactness.check_documents,
        exactness.check_documents_apart,
        exactness.check_blind_rows,
        exactness.check_large_scores,
        exactness.check_equal_large_scores,
        exactness.check_not_finite,
        exactness.check_layouts,
        exactness.check_hidden_tiles,
        exactness.check_blocks_hidden_by_a_mask,
    ],
    ids=lambda check: check.__name__,
)
def test_what_the_emulation_holds(dtype, check):
    """Documents, blind rows, huge scores, NaN, strides, skipped tiles."""
    check(dtype, "cuda")


@each_dtype
@pytest.mark.parametrize("name", exactness.FEW)
def test_few_queries_beside_many_keys(dtype, name):
    """The keys are split, and read once for all heads that share them."""
    exactness.check_few(name, dtype, "cuda")


@pytest.mark.parametrize("sizes", [(70, 300, 24, 20), (130, 200, 128, 90), (65, 90, 100, 256)])
@pytest.mark.parametrize("name", [None, *exactness.TERMS], ids=str)
def test_tf32_rounds_as_float16(name, sizes):
    """By the switch that PyTorch's products obey."""
    with allowed_tf32():
        exactness.check_tf32(name, "cuda", sizes)


@each_dtype
@pytest.mark.parametrize("first", range(0, 300, 20))
def test_random_products_of_features(dtype, first):
    """Any number of them together."""
    for number in range(first, first + 20):
        exactness.check_random(number, dtype, "cuda")


@each_dtype
@pytest.mark.parametrize("offset", [2000, -2000])
@pytest.mark.parametrize("name", exactness.FAR)
def test_slopes_learn_from_queries_far_from_all_keys(dtype, name, offset):
    """The output, which is rounded to the dtype, does not meet the distance."""
    exactness.check_far_slopes(dtype, name, offset, "cuda")


def test_no_queries_or_no_keys():
    """The operators themselves: ``attention`` computes these in plain PyTorch."""
    exactness.check_empty("cuda")


def learning(dtype, *sizes):
    """Tensors on the GPU, with every feature whose gradient is a sum over several threads."""
    inputs = make_inputs(2, 4, 2, *sizes, dtype)
    mask = exactness.make_mask("float", (1, 4, 1, sizes[1]), dtype)
    options = {"enable_gqa": True, "attn_mask": mask, "dropout_p": 0.1, "is_causal": True}
    options |= {"alibi_slopes": torch.rand(4), "sinks": torch.rand(4)}
    (*tensors, grad), options = exactness.on("cuda", inputs, options)
    return tensors, grad, options


@each_dtype
@pytest.mark.parametrize("width", [64, 128, 256])
def test_the_same_bits_on_every_run(dtype, width):
    """Each sum has one order, forward and backward."""
    tensors, grad, options = learning(dtype, 600, 700, width, width)
    results = []
    for _ in range(3):
        torch.manual_seed(0)
        results.append(with_gradients(ops.attention, tensors, grad, **options))
    for other in results[1:]:
        assert all(map(torch.equal, results[0], other))


@each_dtype
def test_few_queries_give_the_same_bits_on_every_run(dtype):
    """The parts of the keys are combined in one order."""
    tensors, _, options = learning(dtype, 4, 20_000, 128, 128)
    options |= {"is_causal": False, "dropout_p": 0.0}
    first, *others = (ops.attention(*tensors, **options) for _ in range(4))
    assert all(torch.equal(first, other) for other in others)


@pytest.mark.parametrize("queries", [70, 5], ids=["many", "few"])
def test_the_dropout_mask_is_the_cpu_s(queries):
    """For one seed both drop the same weights, by the kernel for few queries too."""
    query, key, value, _ = make_inputs(2, 2, 2, queries, 300, 16, 16)
    seed = torch.tensor(2**62 + 12345)
    options = (seed, 0.3, 0.25, None, None, None, 0)
    forward = torch.ops.dlplug.attention_forward
    expected = forward(query, key, value, None, None, None, None, *options)[0]
    inputs = [x.cuda() for x in (query, key, value)]
    found = forward(*inputs, None, None, None, None, seed.cuda(), *options[1:])[0]
    torch.testing.assert_close(found.cpu(), expected, rtol=1e-5, atol=1e-5)


def test_a_cuda_graph_replays_forward_and_backward():
    """Nothing waits for the device: a capture that did would raise."""
    tensors, grad, options = learning(torch.bfloat16, 130, 140, 64, 64)
    options["dropout_p"] = 0.0
    leaves = [x.requires_grad_() for x in tensors]

    def run():
        out = ops.attention(*leaves, **options)
        return [out, *torch.autograd.grad(out, leaves, grad)]

    assert_replays(run)


def test_memory_does_not_grow_with_the_square_of_the_length():
    """16,384 queries and keys, forward and backward: the scores alone would take 4 GiB."""
    leaves = [torch.randn(1, 4, 16384, 64, device="cuda", dtype=torch.bfloat16) for _ in range(3)]
    for x in leaves:
        x.requires_grad_()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    out = ops.attention(*leaves, is_causal=True, window=1000, softcap=20.0)
    out.sum().backward()
    # Out, its gradient, three gradients, and per row 8 bytes of lse and 16 of the backward's.
    assert torch.cuda.max_memory_allocated() - before <= 8 * leaves[0].nbytes


@each_dtype
def test_plain_calls_take_torchs_kernels(dtype):
    """By the rule, which `explain` tells; grouped float32 and features take dlplug's."""
    query, key, value = (x.cuda() for x in make_inputs(1, 4, 4, 70, 70, 64, 64, dtype)[:3])
    with ops.use_backend("auto"):
        explained = [
            ops.explain(ops.attention, query, key, value, **options).backend
            for options in ({}, {"is_causal": True}, {"softcap": 2.0}, {"window": (3, 3)})
        ]
        assert explained == ["torch", "torch", "cuda", "cuda"]
        expected = torch.nn.functional.scaled_dot_product_attention(query, key, value)
        assert torch.equal(ops.attention(query, key, value), expected)


def test_in_deterministic_mode_plain_calls_give_the_same_bits():
    """By dlplug's kernels: PyTorch's have backward passes that are not deterministic."""
    *tensors, grad = (x.cuda() for x in make_inputs(2, 4, 4, 600, 600, 64, 64, torch.bfloat16))
    torch.use_deterministic_algorithms(True)
    try:
        with ops.use_backend("auto"):
            assert ops.explain(ops.attention, *tensors).backend == "cuda"
            results = [with_gradients(ops.attention, tensors, grad) for _ in range(3)]
    finally:
        torch.use_deterministic_algorithms(False)
    for other in results[1:]:
        assert all(map(torch.equal, results[0], other))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_autocast_gives_its_dtype(dtype):
    """Plain and with extras, of float32 and of mixed inputs."""
    query, key, value = (x.cuda() for x in make_inputs(1, 2, 2, 70, 70, 32, 32)[:3])
    expected = torch.nn.functional.scaled_dot_product_attention(query, key, value)
    with torch.autocast("cuda", dtype), ops.use_backend("auto"):
        for inputs in ((query, key, value), (query, key.bfloat16(), value.half())):
            for options in ({}, {"softcap": 1e6}):
                found = ops.attention(*inputs, **options)
                assert found.dtype == dtype
                torch.testing.assert_close(found.float(), expected, rtol=0.05, atol=0.05)


@each_dtype
def test_opcheck_of_both_operators(dtype):
    """Schema, fake kernel, autograd registration and tracing with dynamic shapes."""
    query, key, value, grad = (x.cuda() for x in make_inputs(2, 4, 2, 5, 6, 8, 7, dtype))
    bias, slopes, sinks = (torch.rand(s, device="cuda") for s in ((1, 4, 5, 1), (4,), (4,)))
    seed = torch.tensor(4, device="cuda")
    plain = (None, None, None, None, 0.0, 0.4, None, None, 0, 0)
    with_all = (bias, slopes, None, seed, 0.2, 0.4, 1.5, 3, None, 1)
    for sink, options in ((None, plain), (sinks, with_all)):
        leaves = [x.detach().requires_grad_() for x in (query, key, value)]
        forward = torch.ops.dlplug.attention_forward.default
        found = torch.library.opcheck(forward, (*leaves, sink, *options))
        assert set(found.values()) == {"SUCCESS"}
        out, lse = forward(query, key, value, sink, *options)
        learns = options[0] is not None
        given = (grad, query, key, value, out, lse, learns, learns, *options)
        found = torch.library.opcheck(torch.ops.dlplug.attention_backward.default, given)
        assert set(found.values()) == {"SUCCESS"}


def test_compiles_without_a_graph_break(compiler):
    """Forward and backward equal the eager ones, with every feature that learns."""
    tensors, grad, options = learning(torch.float32, 70, 90, 32, 32)
    options["dropout_p"] = 0.0
    compiled = torch.compile(ops.attention, fullgraph=True)
    found = with_gradients(compiled, tensors, grad, **options)
    expected = with_gradients(ops.attention, tensors, grad, **options)
    for mine, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(mine, theirs)


def test_more_elements_than_32_bits_count():
    """The last heads of 2^31 + 2^20 elements are as those alone, forward and backward."""
    needs_memory(80)
    few = [x.cuda() for x in make_inputs(16, 8, 8, 64, 64, 128, 128, torch.bfloat16)]
    many = [x.repeat(2**11 + 1, 1, 1, 1) for x in few]
    assert many[0].numel() > 2**31
    expected, found = (
        with_gradients(ops.attention, tensors, grad, softcap=20.0) for *tensors, grad in (few, many)
    )
    for once, of_all in zip(expected, found, strict=True):
        assert torch.equal(of_all[-16:], once)
