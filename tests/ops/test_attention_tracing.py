"""Attention under autograd, torch.compile, torch.export and torch.func."""

import pytest
import torch
import torch.nn.functional as F

from dlplug import nn, ops
from tests.ops.attention_cases import (
    DTYPES,
    draw,
    make_inputs,
    with_gradients,
)

NUMBERS = (0.0, 0.4, None, None, 0, 0)  # dropout_p, scale, softcap, left, right, query_offset


@pytest.mark.parametrize("dtype", DTYPES)
def test_opcheck_of_both_operators(dtype):
    """Schema, fake kernel, autograd registration and tracing with dynamic shapes."""
    q, k, v, grad = make_inputs(2, 4, 2, 5, 6, 8, 7, dtype)
    sinks, slopes = draw(4), draw(4).abs().requires_grad_()
    bias = draw(1, 4, 5, 1).requires_grad_()
    options = (bias, slopes, None, torch.tensor(4), 0.2, 0.4, 1.5, 3, None, 1)
    for sink, option in ((None, (None, None, None, None, *NUMBERS)), (sinks, options)):
        torch.library.opcheck(
            torch.ops.dlplug.attention_forward.default,
            (*(x.detach().requires_grad_() for x in (q, k, v)), sink, *option),
        )
        option = [x.detach() if isinstance(x, torch.Tensor) else x for x in option]
        out, lse = torch.ops.dlplug.attention_forward(q, k, v, sink, *option)
        is_needed = option[0] is not None
        torch.library.opcheck(
            torch.ops.dlplug.attention_backward.default,
            (grad, q, k, v, out, lse, is_needed, is_needed, *option),
        )


@pytest.mark.parametrize(
    ("mode", "is_dynamic"), [("auto", False), ("auto", True), ("reference", False)]
)
def test_compiles_without_a_graph_break(mode, is_dynamic):
    """Forward and backward under compile equal the eager ones, with extras and with dropout."""
    torch._dynamo.reset()
    *tensors, grad = make_inputs(2, 4, 2, 5, 6, 8, 7)

    def run(q, k, v, sinks, attn_mask, alibi_slopes):
        a = ops.attention(q, k, v, attn_mask > 0, is_causal=True, enable_gqa=True, dropout_p=0.2)
        extras = {"alibi_slopes": alibi_slopes, "sinks": sinks, "softcap": 2.0}
        return a + ops.attention(q, k, v, attn_mask, enable_gqa=True, **extras)

    compiled = torch.compile(run, fullgraph=True, backend="aot_eager", dynamic=is_dynamic)
    with ops.use_backend(mode):
        results = []
        for function in (run, compiled):
            torch.manual_seed(0)
            learnt = {"sinks": draw(4), "attn_mask": draw(4, 1, 6), "alibi_slopes": draw(4).abs()}
            results.append(with_gradients(function, tensors, grad, **learnt))
    for a, b in zip(*results, strict=True):
        torch.testing.assert_close(a, b)


class Causal(torch.nn.Module):
    def forward(self, q, k, v):
        return ops.attention(q, k, v, is_causal=True, window=3)


def test_exports_as_one_operator_or_as_plain_aten():
    """The operator itself with kernels at hand; under `reference` nothing but aten."""
    q, k, v, _ = make_inputs(1, 2, 2, 5, 5, 8, 8)
    for mode, names in (("auto", {"dlplug"}), ("reference", {"aten"})):
        if mode == "auto" and not ops.isas():
            continue
        with ops.use_backend(mode):
            program = torch.export.export(Causal(), (q, k, v))
            torch.testing.assert_close(program.module()(q, k, v), Causal()(q, k, v))
        targets = [node.target for node in program.graph.nodes if node.op == "call_function"]
        overloads = [x for x in targets if isinstance(x, torch._ops.OpOverload)]
        assert {target.namespace for target in overloads} == names


@pytest.mark.filterwarnings("ignore:.*torch.jit.script:DeprecationWarning")
def test_transforms_of_functions_agree_with_torch():
    """vmap and torch.func.grad in eager and compiled code, forward mode."""
    q, k, v, _ = make_inputs(3, 2, 2, 5, 5, 8, 8)
    expected = F.scaled_dot_product_attention(q, k, v, is_causal=True)

    def run(q, k, v):
        return ops.attention(q, k, v, is_causal=True)

    def gradient(q):
        return torch.func.grad(lambda q: run(q, k, v).square().sum())(q)

    leaf = q.clone().requires_grad_()
    (true_gradient,) = torch.autograd.grad(run(leaf, k, v).square().sum(), leaf)
    for compiled in (False, True):
        torch._dynamo.reset()
        mapped, differentiated = torch.vmap(run), gradient
        if compiled:
            mapped, differentiated = (
                torch.compile(f, fullgraph=True, backend="aot_eager") for f in (mapped, gradient)
            )
        torch.testing.assert_close(mapped(q, k, v), expected)
        torch.testing.assert_close(differentiated(q), true_gradient, rtol=1e-4, atol=1e-5)
    with torch.autograd.forward_ad.dual_level():
        dual = torch.autograd.forward_ad.make_dual(q, torch.ones_like(q))
        tangent = torch.autograd.forward_ad.unpack_dual(run(dual, k, v)).tangent
    nudged = (run(q + 1e-2, k, v) - run(q - 1e-2, k, v)) / 2e-2
    torch.testing.assert_close(tangent, nudged, rtol=1e-2, atol=1e-2)


@pytest.mark.filterwarnings("ignore:torch.searchsorted")  # of vmap's own copy
def test_documents_of_their_own_are_mapped():
    """vmap over `cu_seqlens` too, whose values are not to be looked at then."""
    q, *_ = make_inputs(3, 2, 2, 12, 12, 8, 8)
    starts = torch.tensor([[0, 5, 12], [0, 1, 12], [0, 12, 12]], dtype=torch.int32)

    def run(x, starts):
        return ops.attention(x, x, x, cu_seqlens=starts)

    expected = [run(x[None], each)[0] for x, each in zip(q, starts, strict=True)]
    torch.testing.assert_close(torch.vmap(run)(q, starts), torch.stack(expected))


def test_double_backward_equals_the_references(cpu_kernels):
    """Through queries, keys, values, sinks, a mask and slopes, with dropout and grouped heads."""
    *tensors, grad = make_inputs(1, 4, 2, 5, 6, 8, 7)

    def second_order(mode):
        learnt = (*tensors, draw(4), draw(5, 6), draw(4, seed=1))
        leaves = [x.clone().requires_grad_() for x in learnt]
        torch.manual_seed(2)
        with ops.use_backend(mode):
            out = ops.attention(
                *leaves[:3],
                leaves[4],
                sinks=leaves[3],
                alibi_slopes=leaves[5],
                dropout_p=0.2,
                is_causal=True,
                enable_gqa=True,
            )
            first = torch.autograd.grad(out, leaves, grad, create_graph=True)
        return torch.autograd.grad(sum(x.square().sum() for x in first), leaves)

    for a, b in zip(second_order("cpu"), second_order("reference"), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-4)


def test_double_backward_has_the_same_bits_within_autocast(cpu_kernels):
    """What is computed again for it is summed in float32, whatever products are cast to."""
    *tensors, grad = make_inputs(1, 2, 2, 40, 40, 16, 16, torch.bfloat16)

    def second_order(is_cast):
        leaves = [x.clone().requires_grad_() for x in tensors]
        with torch.autocast("cpu", torch.bfloat16, enabled=is_cast):
            out = ops.attention(*leaves)
            first = torch.autograd.grad(out, leaves, grad, create_graph=True)
        return *first, *torch.autograd.grad(sum(x.float().square().sum() for x in first), leaves)

    assert all(map(torch.equal, second_order(True), second_order(False)))


@pytest.mark.parametrize("mode", ["auto", "reference"])
def test_meta_tensors_give_shapes(mode):
    """On the meta device too, which knows no autocast, with the module above it."""
    q, k, v = (torch.empty(2, 4, 32, 64, device="meta", dtype=torch.bfloat16) for _ in range(3))
    with ops.use_backend(mode):
        for options in ({}, {"softcap": 2.0, "is_causal": True}):
            out = ops.attention(q, k, v, **options)
            assert out.is_meta and out.shape == q.shape and out.dtype == q.dtype
        layer = nn.MultiheadAttention(64, 4, batch_first=True, device="meta")
        x = torch.empty(2, 5, 64, device="meta")
        assert layer(x, x, x, need_weights=False)[0].shape == x.shape


def test_arguments_that_are_one_tensor_get_their_gradient_once(cpu_kernels):
    """With create_graph too, self-attention on one tensor and shared keys count no path twice."""
    x = draw(1, 2, 20, 16).requires_grad_()
    for arguments in ((x, x, x), (x.sin(), x.cos(), x.cos()), (x, 2 * x, x)):
        gradients = []
        for create_graph in (False, True):
            out = ops.attention(*arguments).square().sum()
            (grad,) = torch.autograd.grad(out, x, create_graph=create_graph, retain_graph=True)
            gradients.append(grad.detach())
        torch.testing.assert_close(*gradients, rtol=1e-4, atol=1e-5)


def test_only_some_inputs_need_gradients(cpu_kernels):
    """Gradients of the others stay None; a frozen key or value costs no error, once or twice."""
    for needed in range(3):
        *tensors, grad = make_inputs(1, 2, 2, 5, 6, 8, 8)
        tensors[needed].requires_grad_()
        out = ops.attention(*tensors)
        (first,) = torch.autograd.grad(out, tensors[needed], grad, create_graph=True)
        if needed < 2:  # the output is linear in the values
            torch.autograd.grad(first.sum(), tensors[needed])
        assert [x.grad is None for x in tensors] == [True] * 3
