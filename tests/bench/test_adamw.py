"""Rows of the optimizers: all contenders make the same steps."""

import sys

import pytest
import torch

from dlplug.bench import adamw, optimizer_phase, parameter_lists, updates
from dlplug.bench.accuracy import error
from dlplug.bench.measure import measure
from dlplug.bench.row import Row

SHAPES = [(24, 16), (16,), (3000,), (7,)]


def measured(build, has_compiled=False):
    (result,) = measure(Row("small", build, 0), 0.0, has_compiled)
    return result


def errors(result):
    return {name: peer["error"] for name, peer in result["peers"].items() if "error" in peer}


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_every_adamw_agrees_with_float64(dtype):
    """Two steps; compiled peers apart."""
    result = measured(lambda: adamw.adamw(SHAPES, dtype))
    assert result["is_exact"] and not result["is_routed"], result
    assert errors(result).keys() == {"torch", "torch foreach", "torch fused"}
    assert max(errors(result).values()) <= adamw.TOLERANCE[dtype]


@pytest.mark.slow
def test_the_compiled_step_agrees():
    """And DeepSpeed is missing, or agrees."""
    result = measured(lambda: adamw.adamw(SHAPES, torch.float32), has_compiled=True)
    assert result["peers"]["torch.compile"]["error"] <= adamw.TOLERANCE[torch.float32]
    peer = result["peers"]["DeepSpeed CPUAdam"]
    assert "missing" in peer or peer["error"] <= adamw.TOLERANCE[torch.float32]


def test_a_missing_peer_is_told_as_missing(monkeypatch):
    """With what is not installed; nothing else is lost."""
    monkeypatch.setitem(sys.modules, "deepspeed", None)
    monkeypatch.setattr(adamw, "compiled", lambda step: step)
    result = measured(lambda: adamw.adamw(SHAPES, torch.float32), has_compiled=True)
    assert result["peers"]["DeepSpeed CPUAdam"] == {"missing": "no module deepspeed"}
    assert len(errors(result)) == 4


@pytest.mark.parametrize("storage", adamw.STORAGES)
def test_compact_adamw_agrees_with_float64(storage):
    """In each storage."""
    result = measured(lambda: adamw.compact_adamw(SHAPES, storage))
    assert result["is_exact"] and not result["is_routed"], result
    assert errors(result).keys() == {"torch", "torch fused"}


def test_the_whole_phase_agrees_with_float64():
    """Clipped, averaged, and no gradient is left."""
    result = measured(lambda: optimizer_phase.build(SHAPES))
    assert result["is_exact"], result
    assert errors(result).keys() == {"torch fused chain", "torch foreach chain"}
    assert max(errors(result).values()) <= optimizer_phase.TOLERANCE


def test_the_phase_of_a_scaled_loss_agrees_with_float64(monkeypatch):
    """Gradients are divided once, then clipped; ours within the step, in no pass of its own."""
    result = measured(lambda: optimizer_phase.build(SHAPES, is_scaled=True))
    assert result["is_exact"], result
    assert max(errors(result).values()) <= optimizer_phase.TOLERANCE
    monkeypatch.delattr(torch.amp.GradScaler, "unscale_")
    scaled = optimizer_phase._contender(SHAPES, optimizer_phase._ours_scaled, 1.0).outputs()
    unscaled = updates.reference(SHAPES, torch.float32, 1.0)
    assert error(scaled, unscaled) > 10 * optimizer_phase.TOLERANCE


@pytest.mark.parametrize(
    ("change", "name"), [({"MAX_NORM": 1e9}, "clipping"), ({"EMA_DECAY": 0.0}, "averaging")]
)
def test_what_the_phase_leaves_out_would_be_noticed(change, name, monkeypatch):
    """A reference without clipping or without averages differs by more than the tolerance."""
    with_all = updates.reference(SHAPES, torch.float32, 1.0, 0.9)
    for constant, value in change.items():
        monkeypatch.setattr(optimizer_phase, constant, value)
    other = optimizer_phase._contender(SHAPES, optimizer_phase._ours, 1.0).outputs()
    assert error(other, with_all) > 10 * optimizer_phase.TOLERANCE, name


def test_the_lists_are_those_of_the_models():
    """Parameters in millions, and tensors."""
    found = {n: (parameter_lists.count(s), len(s)) for n, s in parameter_lists.LISTS.items()}
    small = {"gpt2": (124439808, 148), "vit": (5717416, 152), "mlp": (41418, 14)}
    assert found == small | {"billion": (1007165440, 240)}
