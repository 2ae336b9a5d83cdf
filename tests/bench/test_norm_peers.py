"""Tests of dlplug/bench/norm_peers.py, with modules in the place of the libraries."""

import sys
from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F

from dlplug.bench import norms
from dlplug.bench.measure import measure
from dlplug.bench.norm_peers import PEERS, liger, quack
from dlplug.bench.row import LeftOut, Missing, Row

BFLOAT16 = torch.bfloat16


def quack_rmsnorm(
    x, weight=None, bias=None, residual=None, out_dtype=None, residual_dtype=None, eps=1e-6,
    prenorm=False,
):  # fmt: skip
    h = x if residual is None else x + residual
    out = F.rms_norm(h, h.shape[-1:], weight, eps)
    return (out, h) if prenorm else out


def quack_layernorm(x, weight, bias=None, eps=1e-6, return_rstd=False, return_mean=False):
    return F.layer_norm(x, x.shape[-1:], weight, bias, eps)


def liger_rms_norm(X, W, eps, offset=0.0, casting_mode="llama", in_place=True):
    assert not in_place  # it would write over inputs
    return quack_rmsnorm(X, W, eps=eps)


def liger_fused(X, R, W, eps, offset=0.0, casting_mode="llama", in_place=True):
    assert not in_place
    return quack_rmsnorm(X, W, residual=R, eps=eps, prenorm=True)


@pytest.fixture
def installed(monkeypatch):
    """Modules of the two libraries' names, with their signatures."""
    quack_module = SimpleNamespace(rmsnorm=quack_rmsnorm, layernorm_fwd=quack_layernorm)
    liger_module = SimpleNamespace(
        liger_layer_norm=lambda X, W, B, eps: quack_layernorm(X, W, B, eps),
        liger_rms_norm=liger_rms_norm,
        liger_fused_add_rms_norm=liger_fused,
    )
    for name in ("quack", "liger_kernel", "liger_kernel.transformers"):
        monkeypatch.setitem(sys.modules, name, SimpleNamespace(__path__=[]))
    monkeypatch.setitem(sys.modules, "quack.rmsnorm", quack_module)
    monkeypatch.setitem(sys.modules, "liger_kernel.transformers.functional", liger_module)
    monkeypatch.setattr(norms, "is_gpu", lambda: True)
    return liger_module


@pytest.mark.parametrize("op", norms.STREAMS)
@pytest.mark.parametrize("has_backward", [False, True])
def test_they_are_called_for_what_the_row_asks(op, has_backward, installed, monkeypatch):
    """Each agrees with float64, or says what it has not."""
    monkeypatch.setattr(norms, "compiled", lambda function: function)
    problem = norms.Problem(op, (40, 24), has_backward=has_backward)
    row = Row(problem.name, lambda: norms.build(problem), 0)
    (result,) = measure(row, 0.0, has_compiled=True)
    found = {name: peer for name, peer in result["peers"].items() if name in PEERS}
    has_quack = "rms" in op or (op == "layer_norm" and not has_backward)
    assert ("error" in found["quack"]) == has_quack, found
    assert ("error" in found["liger"]) == (op != "add_layer_norm"), found
    assert all("error" in peer or "left out" in peer for peer in found.values())


def test_what_is_not_there_is_told(installed, monkeypatch):
    """A library that is missing, an op or a dtype that one has not."""
    for op, dtype, has_backward in [
        ("layer_norm", BFLOAT16, False),
        ("layer_norm", torch.float32, True),
        ("add_layer_norm", torch.float32, False),
    ]:
        with pytest.raises(LeftOut, match="forward pass alone"):
            quack(op, dtype, has_backward, 1e-5)
    del installed.liger_fused_add_rms_norm
    with pytest.raises(LeftOut, match="this version"):
        liger("add_rms_norm", BFLOAT16, True, 1e-6)
    for name in ("quack.rmsnorm", "liger_kernel.transformers.functional"):
        monkeypatch.setitem(sys.modules, name, None)
    for peer, module in ((quack, "quack"), (liger, "liger_kernel")):
        with pytest.raises(Missing, match=f"no module {module}"):
            peer("rms_norm", BFLOAT16, False, 1e-6)
