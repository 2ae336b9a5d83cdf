"""DLPLUG_ATTENTION, and the rule by which calls on a GPU are routed without it."""

import importlib
import math

import pytest
import torch
import torch.nn.functional as F

from dlplug import ops
from dlplug.errors import BackendError
from dlplug.ops import _attention_choice as choice
from tests.ops.attention_cases import make_inputs

module = importlib.import_module("dlplug.ops.attention")
NO_OPTIONS = (0.0, None, 0, None, None, None, None)  # from dropout_p to cu_seqlens


def on_meta(dtype, groups=4):
    return [x.to("meta") for x in make_inputs(1, 4, groups, 8, 8, 16, 16, dtype)[:3]]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_plain_calls_on_a_gpu_go_to_torch_and_others_to_the_kernels(dtype):
    """Also while a graph is traced: no bound on a size is asked for."""
    decline = module.OP.decline
    query, key, value = on_meta(dtype)
    assert "until dlplug's are measured" in decline(query, key, value, None, *NO_OPTIONS)
    mask = torch.ones(8, 8, dtype=torch.bool, device="meta")
    assert decline(query, key, value, mask, *NO_OPTIONS) is None
    for at, given in enumerate((0.1, 4, 3, torch.ones(4), 2.0, torch.ones(4), torch.ones(2))):
        options = (*NO_OPTIONS[:at], given, *NO_OPTIONS[at + 1 :])
        assert decline(query, key, value, None, *options) is None
    grouped = decline(*on_meta(dtype, groups=2), None, *NO_OPTIONS)
    assert (grouped is None) == (dtype == torch.float32)


@pytest.mark.parametrize("name", ["torch", "math", "flash"])
def test_torchs_op_or_one_of_its_kernels_can_be_asked_for(monkeypatch, name):
    """Plain calls take it, whatever their size; `explain` names who asked for it."""
    used = []
    before = F.scaled_dot_product_attention

    def watched(*args, **options):
        used.append(_enabled())
        return before(*args, **options)

    monkeypatch.setattr(F, "scaled_dot_product_attention", watched)
    monkeypatch.setattr(choice, "forced", name)
    for size in (4, 60):
        query, key, value, _ = make_inputs(1, 4, 4, size, size, 16, 16)
        found = ops.attention(query, key, value)
        torch.testing.assert_close(found, before(query, key, value))
        told = ops.explain(ops.attention, query, key, value)
        assert told.backend == "torch"
        if ops.isas():
            assert told.refused == {"cpu": f"DLPLUG_ATTENTION={name}"}
    assert used == [{"torch": {"flash", "math", "efficient"}}.get(name, {name})] * 2


def _enabled():
    """What `sdpa_kernel` has left of PyTorch's kernels; cuDNN's is on where CUDA is."""
    switches = {
        "flash": torch.backends.cuda.flash_sdp_enabled,
        "math": torch.backends.cuda.math_sdp_enabled,
        "efficient": torch.backends.cuda.mem_efficient_sdp_enabled,
    }
    return {name for name, is_on in switches.items() if is_on()}


def test_the_native_kernels_can_be_asked_for(cpu_kernels, monkeypatch):
    """A call so small that PyTorch would take it, and an error where they cannot take it."""
    monkeypatch.setattr(choice, "forced", "native")
    query, key, value, _ = make_inputs(1, 1, 1, 2, 2, 8, 8)
    with ops.use_backend("auto"):
        assert ops.explain(ops.attention, query, key, value).backend == "cpu"
        ops.attention(query, key, value)
        with pytest.raises(BackendError, match=r"=native cannot take .*: torch\.float64"):
            ops.attention(query.double(), key.double(), value.double())


@pytest.mark.parametrize("name", ["torch", "math"])
def test_torchs_op_refuses_what_it_does_not_know(monkeypatch, name):
    """Asked for, it is not replaced by another silently."""
    monkeypatch.setattr(choice, "forced", name)
    query, key, value, _ = make_inputs(1, 4, 4, 8, 8, 16, 16)
    for options in ({"softcap": 2.0}, {"dropout_p": 0.5}, {"sinks": torch.zeros(4)}):
        with pytest.raises(BackendError, match=f"{name} cannot take this call of attention"):
            ops.attention(query, key, value, **options)
    windowed = ops.attention(query, key, value, is_causal=True, window=3)
    mask = torch.ones(8, 8).tril().bool() & ~torch.ones(8, 8).tril(-3).bool()
    scores = (query @ key.mT / 4).masked_fill(~mask, -math.inf)
    torch.testing.assert_close(windowed, scores.softmax(-1) @ value)


def test_a_name_that_is_none_of_them(monkeypatch):
    """Told with the names that are, and the nearest."""
    monkeypatch.setenv("DLPLUG_ATTENTION", "cudn")
    with pytest.raises(BackendError, match="no attention named 'cudn'") as caught:
        choice.read_environment()
    assert choice.forced is None and "cudnn" in str(caught.value)


def test_a_kernel_of_torch_that_cannot_take_a_call_is_named(monkeypatch):
    """PyTorch says that there is none; what asked for it is said besides."""
    monkeypatch.setattr(choice, "forced", "cudnn")
    query, key, value, _ = make_inputs(1, 4, 4, 8, 8, 16, 16)
    with pytest.raises(BackendError, match="DLPLUG_ATTENTION=cudnn cannot take this call"):
        ops.attention(query, key, value)
