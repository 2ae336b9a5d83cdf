"""Tests of dlplug/ops/acceleration/redirection.py: calls of PyTorch's functions change hands."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.checkpoint import checkpoint

from dlplug import ops
from tests.ops.acceleration_cases import assert_half_as_exact, count_calls, dtype_of

N, L, E, H = 2, 20, 32, 4


def numbers(*shape, seed=1):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


class FlagNorm(nn.LayerNorm):
    """As timm's: a subclass with a switch."""

    is_fast = False

    def forward(self, x):
        assert not self.is_fast
        return F.layer_norm(x, self.normalized_shape, self.weight, self.bias, self.eps)


class Attention(nn.Module):
    """As timm's and nanoGPT's, with a norm inside."""

    def __init__(self, dropout=0.0):
        super().__init__()
        self.qkv, self.proj = nn.Linear(E, 3 * E), nn.Linear(E, E)
        self.q_norm, self.attn_drop = FlagNorm(E // H), nn.Dropout(dropout)

    def forward(self, x, attn_mask=None, is_causal=False, groups=H):
        qkv = self.qkv(x).unflatten(-1, (3, H, -1)).permute(2, 0, 3, 1, 4)
        q, k, v = qkv.unbind(0)
        heads = F.scaled_dot_product_attention(
            self.q_norm(q), k[:, :groups], v[:, :groups],
            attn_mask=attn_mask, dropout_p=self.attn_drop.p if self.training else 0.0,
            is_causal=is_causal, enable_gqa=groups != H,
        )  # fmt: skip
        return self.proj(heads.transpose(1, 2).flatten(2))


@pytest.mark.parametrize("options", [{}, {"is_causal": True}, {"groups": 2}, {"attn_mask": "bool"}])
def test_own_code_stays_as_exact(options):
    """Masks, groups and causality say to the op what they say to PyTorch's function."""
    torch.manual_seed(0)
    if options.get("attn_mask"):
        options = {"attn_mask": numbers(L, L) > -0.5}

    def call(model):
        with ops.use_backend("reference"):
            return model(numbers(N, L, E).to(dtype_of(model)), **options)

    assert_half_as_exact(Attention(), call)


def test_only_what_the_class_itself_calls_changes_hands(monkeypatch):
    """A norm below that is excluded stays PyTorch's, though an attention around it is swapped."""
    calls = count_calls(monkeypatch)
    module = Attention()
    report = ops.accelerate(module, exclude="q_norm")
    assert report.counts == {"attention": 1}
    module(numbers(N, L, E))
    assert calls == {"attention": 1}
    assert ops.accelerate(module).counts == {"attention": 1, "layer_norm": 1}
    module(numbers(N, L, E))
    assert calls == {"attention": 2, "layer_norm": 1}


def test_rms_norm_calls_change_hands(monkeypatch):
    """With and without eps."""

    class Norm(nn.Module):
        eps = None

        def forward(self, x):
            return F.rms_norm(x, (E,), None, self.eps)

    calls = count_calls(monkeypatch)
    norm, x = Norm(), numbers(N, E) * 1e-3
    for norm.eps in (None, 1e-2):
        expected = norm(x)
        report = ops.accelerate(norm)
        torch.testing.assert_close(norm(x), expected)
        report.undo()
    assert calls == {"rms_norm": 2}


def test_calls_that_the_op_does_not_take_stay_torchs(monkeypatch):
    """Dropout by the same seed; norms over two axes; errors in PyTorch's words."""
    calls = count_calls(monkeypatch)
    module, x = Attention(0.4), numbers(N, L, E)
    torch.manual_seed(2)
    expected = module(x)
    report = ops.accelerate(module, exclude="q_norm")
    assert "dropout" in report[""].reason
    torch.manual_seed(2)
    assert torch.equal(module(x), expected) and not calls
    module.eval()
    with pytest.raises(RuntimeError, match="mask") as caught:
        module(x, attn_mask=torch.ones(L, L, dtype=torch.int8))
    assert type(caught.value) is RuntimeError
    norm = FlagNorm((L, E))
    expected = norm(x)
    ops.accelerate(norm)
    assert torch.equal(norm(x), expected) and calls["layer_norm"] == 0


class OwnWeights(Attention):
    fused_attn = False


class Recomputes(nn.Module):
    def forward(self, x):
        return checkpoint(F.layer_norm, x, (E,), use_reentrant=False)


@pytest.mark.parametrize(
    ("module", "reason"),
    [
        (OwnWeights(), "it computes the weights itself: fused_attn is False"),
        (Recomputes(), "it computes parts anew in the backward pass, outside of its forward pass"),
    ],
)
def test_what_would_go_elsewhere_is_left_alone(module, reason):
    """timm's switch, and checkpoints that begin inside."""
    report = ops.accelerate(module, exclude="q_norm" if hasattr(module, "q_norm") else ())
    assert not report.swapped and report[""].reason == reason


def test_fx_records_torch_s_functions():
    """As before: no op can take what stands for a tensor."""

    class Calls(nn.Module):
        def forward(self, x):
            y = F.layer_norm(x, (E,)) + F.rms_norm(x, (E,))
            return F.scaled_dot_product_attention(y, x, value=x)

    model, x = nn.Sequential(Calls()), numbers(N, L, E)
    expected = str(torch.fx.symbolic_trace(model).graph)
    assert set(ops.accelerate(model)["0"].ops) == {"layer_norm", "rms_norm", "attention"}
    traced = torch.fx.symbolic_trace(model)
    assert str(traced.graph) == expected
    torch.testing.assert_close(traced(x), model(x))


def test_compiles_without_a_graph_break():
    """PyTorch's own functions stand in the graph."""
    module, x = Attention(), numbers(N, L, E)
    ops.accelerate(module)
    torch._dynamo.reset()
    compiled = torch.compile(module, fullgraph=True, backend="eager")
    torch.testing.assert_close(compiled(x), module(x))
