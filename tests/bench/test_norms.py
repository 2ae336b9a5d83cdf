"""Rows of the norms: all contenders compute the same."""

from dataclasses import replace

import pytest
import torch

from dlplug.bench import norms
from dlplug.bench.measure import measure
from dlplug.bench.row import Row

KINDS = list({replace(p, shape=(40, 24)): None for p in norms.problems()})


def measured(problem, has_compiled=False):
    (result,) = measure(Row(problem.name, lambda: norms.build(problem), 0), 0.0, has_compiled)
    return result


@pytest.mark.parametrize("problem", KINDS, ids=lambda problem: problem.name)
def test_ours_and_the_peer_agree_with_float64(problem, monkeypatch):
    """In every op, dtype and pass, with the sums over rows made in several parts."""
    monkeypatch.setattr(norms, "CHUNK", 16)
    result = measured(problem)
    assert result["is_exact"], result
    assert result["best"] == "torch", result
    expected = {"torch.compile": {"left out": "it is compiled first"}}
    others = {n: p for n, p in result["peers"].items() if n != "torch"}
    assert others == ({} if problem.dropout_p else expected)


@pytest.mark.slow
def test_the_compiled_peer_computes_the_same():
    """With the gradients of everything."""
    problem = norms.Problem("add_layer_norm", (64, 48), has_backward=True)
    peer = measured(problem, has_compiled=True)["peers"]["torch.compile"]
    assert peer["error"] < 1e-5, peer


def test_a_wrong_norm_would_be_noticed(monkeypatch):
    """Another epsilon is enough."""
    monkeypatch.setitem(norms.EPS, "layer_norm", 1e-2)
    result = measured(norms.Problem("layer_norm", (40, 24)))
    assert not result["is_exact"] and "failed" not in result


def test_small_calls_are_told_as_routed():
    """They are PyTorch's own; large ones are not."""
    small, large = (
        measured(norms.Problem("layer_norm", (rows, 192), has_backward=True)) for rows in (8, 4096)
    )
    assert small["is_routed"] and small["backend"] == "torch"
    assert not large["is_routed"] and large["backend"] == "cpu"


def test_large_rows_are_timed_with_both_allocators():
    """The kernel takes back blocks above 32 MiB, and only those."""
    allocators = {row.name: row.allocators for row in norms.rows("cpu")}
    assert allocators["layer_norm 65536x1024 bfloat16 forward"] == ("tuned", "default")
    assert allocators["layer_norm 4096x768 float32 forward"] == ("tuned",)


def test_dropout_is_timed_and_left_out_of_the_comparison():
    """Masks differ between libraries: what is compared has none, what is timed has one."""
    problem = norms.Problem("add_layer_norm", (64, 48), dropout_p=0.5)
    work = norms.build(problem)
    _, h = work.ours.run()
    _, residual = norms._tensors(problem)[0][:2]
    assert 0.3 < (h == residual).float().mean() < 0.7
    _, h = work.ours.outputs()
    assert not torch.equal(h, residual) and (h == residual).float().mean() < 0.1
