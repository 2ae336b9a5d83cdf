"""Tests of dlplug/nn/multihead_attention.py: torch's module is the reference for every option."""

import itertools

import pytest
import torch

from dlplug import nn, ops
from dlplug.errors import DtypeError, OpError, ShapeError

N, L, S, E, H = 2, 4, 5, 12, 3
OPTIONS = [
    {},
    {"bias": False},
    {"kdim": 7, "vdim": 9},
    {"kdim": 7, "bias": False},
    {"add_bias_kv": True},
    {"add_zero_attn": True},
    {"add_bias_kv": True, "add_zero_attn": True, "vdim": 5},
]


def pair(**options):
    """dlplug's module and torch's with the same parameters."""
    torch.manual_seed(0)
    ours = nn.MultiheadAttention(E, H, **options)
    for parameter in ours.parameters():  # torch starts the biases at 0
        torch.nn.init.normal_(parameter, std=0.5)
    theirs = torch.nn.MultiheadAttention(E, H, **options)
    theirs.load_state_dict(ours.state_dict())
    return ours, theirs


def inputs(module, is_batched=True):
    drawn = []
    for length, width in ((L, E), (S, module.kdim), (S, module.vdim)):
        shape = (N, length, width) if module.batch_first else (length, N, width)
        drawn.append(torch.randn(shape if is_batched else (length, width)))
    return drawn


def masks(kind, is_batched, per_head):
    """key_padding_mask and attn_mask of a kind; no query is left without keys."""
    padding = torch.zeros(N, S, dtype=torch.bool)
    padding[0, 3:] = True
    hidden = torch.rand(N * H if is_batched else H, L, S) > 0.6
    hidden[..., 0] = False
    hidden = hidden if per_head else hidden[0]
    padding = padding if is_batched else padding[0]
    if kind == "float":
        return torch.where(padding, -torch.inf, torch.randn(padding.shape)), torch.where(
            hidden, -torch.inf, torch.randn(hidden.shape)
        )
    return padding, hidden


def assert_same(ours, theirs, args, **options):
    """Equal outputs, weights, and gradients of inputs and parameters."""
    results = []
    for module in (ours, theirs):
        leaves = [x.clone().requires_grad_() for x in args]
        output, weights = module(*leaves, **options)
        generator = torch.Generator().manual_seed(1)
        wanted = [*leaves, *module.parameters()]
        grads = torch.autograd.grad(output, wanted, torch.randn(output.shape, generator=generator))
        results.append([output, *grads] + ([] if weights is None else [weights]))
    for a, b in zip(*results, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize("is_batched", [False, True])
def test_equals_torchs_module(options, batch_first, is_batched):
    """Every constructor argument, every kind of mask and their mixture, output and gradients."""
    ours, theirs = pair(batch_first=batch_first, **options)
    args = inputs(ours, is_batched)
    for kind, per_head in itertools.product(("bool", "float"), (False, True)):
        padding, hidden = masks(kind, is_batched, per_head)
        for given in ({}, {"key_padding_mask": padding}, {"attn_mask": hidden},
                      {"key_padding_mask": padding, "attn_mask": hidden}):  # fmt: skip
            assert_same(ours, theirs, args, need_weights=False, **given)


@pytest.mark.parametrize("average", [False, True])
def test_weights_are_torchs(average):
    """need_weights gives the weights, of each head or their mean, as torch's module does."""
    ours, theirs = pair(batch_first=True)
    padding, hidden = masks("bool", True, False)
    assert_same(
        ours, theirs, inputs(ours), need_weights=True, average_attn_weights=average,
        key_padding_mask=padding, attn_mask=hidden,
    )  # fmt: skip


@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize("is_batched", [False, True])
def test_self_attention_takes_one_product(batch_first, is_batched):
    """The same tensor three times, with and without a causal mask and its hint."""
    ours, theirs = pair(batch_first=batch_first)
    x = inputs(ours, is_batched)[0]
    causal = torch.ones(L, L, dtype=torch.bool).triu(1)

    class Same(torch.nn.Module):
        def __init__(self, module):
            super().__init__()
            self.module = module

        def forward(self, x, **options):
            return self.module(x, x, x, need_weights=False, **options)

    for given in ({}, {"attn_mask": causal}, {"attn_mask": causal, "is_causal": True}):
        assert_same(Same(ours), Same(theirs), [x], **given)


@pytest.mark.parametrize("batch_first", [False, True])
def test_output_is_contiguous(batch_first):
    """Callers take views of it, as of torch's."""
    ours, _ = pair(batch_first=batch_first)
    x = torch.randn(N, L, E)
    assert ours(x, x, x, need_weights=False)[0].is_contiguous()


def test_causal_hint_beside_padding_and_appended_keys():
    """The mask is used, so the learnt and the zero key stay visible: torch's result with weights.

    Without weights torch's module drops the mask for the hint and then hides what it appended.
    """
    ours, theirs = pair(add_bias_kv=True, add_zero_attn=True, batch_first=True)
    args = [torch.randn(N, L, E) for _ in range(3)]
    causal = torch.ones(L, L, dtype=torch.bool).triu(1)
    found, _ = ours(*args, need_weights=False, attn_mask=causal, is_causal=True)
    expected, _ = theirs(*args, need_weights=True, attn_mask=causal)
    torch.testing.assert_close(found, expected)
    padding = torch.zeros(N, L, dtype=torch.bool)
    padding[1, 2:] = True
    assert_same(
        ours, theirs, args, need_weights=False, attn_mask=causal, is_causal=True,
        key_padding_mask=padding,
    )  # fmt: skip


@pytest.mark.filterwarnings("ignore:Support for mismatched:UserWarning")
def test_masks_of_two_kinds_are_joined():
    """A bool padding mask beside a float mask."""
    ours, theirs = pair()
    padding, _ = masks("bool", True, True)
    _, bias = masks("float", True, True)
    options = {"key_padding_mask": padding, "attn_mask": bias}
    assert_same(ours, theirs, inputs(ours), need_weights=False, **options)


def test_evaluation_equals_torchs_fast_path():
    """No gradient, eval mode: torch takes its fused inference code."""
    ours, theirs = pair(batch_first=True)
    x = torch.randn(N, L, E)
    with torch.no_grad():
        found, weights = ours.eval()(x, x, x, need_weights=False)
        expected, _ = theirs.eval()(x, x, x, need_weights=False)
    assert weights is None
    torch.testing.assert_close(found, expected)


def test_dropout_only_in_training_and_by_the_seed():
    """Evaluation is deterministic; in training one seed gives one result, another another."""
    ours, _ = pair(dropout=0.5)
    x = torch.randn(L, N, E)

    def run(seed):
        torch.manual_seed(seed)
        return ours(x, x, x, need_weights=False)[0]

    assert run(1).equal(run(1)) and not run(1).equal(run(2))
    ours.eval()
    assert run(1).equal(run(2))


def test_state_is_torchs():
    """The same keys and shapes, in both directions, and the same initial values for a seed."""
    for options in OPTIONS:
        torch.manual_seed(3)
        ours = nn.MultiheadAttention(E, H, **options)
        torch.manual_seed(3)
        theirs = torch.nn.MultiheadAttention(E, H, **options)
        assert isinstance(ours, torch.nn.MultiheadAttention)
        mine, other = ours.state_dict(), theirs.state_dict()
        assert list(mine) == list(other)
        assert all(mine[name].equal(other[name]) for name in mine)


def test_works_inside_a_transformer_layer():
    """Swapped into torch's encoder layer, in training and in evaluation."""
    ours, theirs = pair(batch_first=True)
    layer = torch.nn.TransformerEncoderLayer(E, H, 24, dropout=0.0, batch_first=True)
    layer.self_attn = theirs
    x = torch.randn(N, L, E)
    padding = torch.zeros(N, L, dtype=torch.bool)
    padding[0, 2:] = True
    expected = layer(x, src_key_padding_mask=padding)
    layer.self_attn = ours
    torch.testing.assert_close(layer(x, src_key_padding_mask=padding), expected)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_autocast_gives_torchs_dtype(dtype):
    """Under autocast the output has autocast's dtype and torch's values."""
    ours, theirs = pair(batch_first=True, add_bias_kv=True)
    args = inputs(ours)
    padding, bias = masks("float", True, True)
    with torch.autocast("cpu", dtype):
        options = {"need_weights": False, "key_padding_mask": padding, "attn_mask": bias}
        found, expected = ours(*args, **options)[0], theirs(*args, **options)[0]
    assert found.dtype == expected.dtype == dtype
    torch.testing.assert_close(found, expected, rtol=0.05, atol=0.05)


def test_compiles_without_a_graph_break():
    """Forward and backward under compile equal the eager ones."""
    ours, _ = pair(batch_first=True)
    torch._dynamo.reset()
    compiled = torch.compile(ours, fullgraph=True, backend="aot_eager")
    x = torch.randn(N, L, E)
    eager = ours(x, x, x, need_weights=False)[0]
    out = compiled(x, x, x, need_weights=False)[0]
    torch.testing.assert_close(out, eager)
    grads = [torch.autograd.grad(y.square().sum(), list(ours.parameters())) for y in (out, eager)]
    for a, b in zip(*grads, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-3)


def test_computes_through_the_op(monkeypatch):
    """Without weights the op is called, with the heads on the second axis."""
    calls = []
    monkeypatch.setattr(
        "dlplug.ops._multihead_attention.attention",
        lambda q, *args: calls.append(q.shape) or ops.attention(q, *args),
    )
    ours, _ = pair(batch_first=True)
    ours(*inputs(ours), need_weights=False)
    assert calls == [(N, H, L, E // H)]


X, Y = torch.zeros(L, N, E), torch.zeros(S, N, E)


@pytest.mark.parametrize(
    ("args", "options", "error", "text"),
    [
        ((X[None], Y, Y), {}, ShapeError, "2 or 3 axes each are needed, got query (1, 4, 2, 12)"),
        ((X, Y[:, 0], Y), {}, ShapeError, "2 or 3 axes each"),
        ((X, Y[..., 1:], Y), {}, ShapeError, "the last sizes must be (12, 12, 12)"),
        ((X, Y, Y[1:]), {}, ShapeError, "lengths or batch sizes differ"),
        ((X, Y[:, :1], Y[:, :1]), {}, ShapeError, "lengths or batch sizes differ"),
        ((X, Y, Y), {"is_causal": True}, OpError, "but there is none"),
        ((X, Y, Y), {"attn_mask": torch.zeros(S, L)}, ShapeError, "expected (4, 5) or (6, 4, 5)"),
        ((X, Y, Y), {"attn_mask": torch.zeros(L, S).int()}, DtypeError, "must be bool or float"),
        ((X, Y, Y), {"key_padding_mask": torch.zeros(S, N)}, ShapeError, "expected (2, 5)"),
    ],
)  # fmt: skip
def test_a_wrong_call_is_refused_with_its_values(args, options, error, text):
    """Shapes and dtypes are named, with what was expected."""
    ours, _ = pair()
    with pytest.raises(error) as caught:
        ours(*args, need_weights=False, **options)
    assert text in str(caught.value)
