"""DLPLUG_ATTENTION, and the rule by which calls on a GPU are routed without it."""

import functools
import importlib
import math
from contextlib import contextmanager

import pytest
import torch
import torch.nn.functional as F
from torch.nn.attention import SDPBackend

from dlplug import ops
from dlplug.errors import BackendError
from dlplug.ops import _attention_choice as choice
from tests.ops.attention_cases import allowed_tf32, make_inputs

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


def test_in_deterministic_mode_plain_calls_go_to_the_kernels(monkeypatch):
    """Theirs is one order of sums; PyTorch's have backward passes that are not deterministic."""
    arguments = (*on_meta(torch.bfloat16), None, *NO_OPTIONS)
    assert module.OP.decline(*arguments) is not None
    monkeypatch.setattr(torch, "are_deterministic_algorithms_enabled", lambda: True)
    assert module.OP.decline(*arguments) is None


def test_what_was_measured_decides(monkeypatch):
    """By compute capability and dtype; what was not measured goes as before."""
    decline, told = module.OP.decline, {}
    monkeypatch.setattr(choice, "_capability", lambda query: 9)
    monkeypatch.setitem(choice.FASTEST, (9, torch.bfloat16), "native")
    monkeypatch.setitem(choice.FASTEST, (9, torch.float16), "cudnn")
    monkeypatch.setitem(choice.FASTEST, (8, torch.float32), "native")
    for dtype in (torch.bfloat16, torch.float16, torch.float32):
        told[dtype] = decline(*on_meta(dtype), None, *NO_OPTIONS)
    assert told[torch.bfloat16] is None
    assert told[torch.float16] == "cudnn was the fastest for plain and causal calls"
    assert choice.MEASURING in told[torch.float32]


def test_the_hopper_kernel_can_be_the_one_that_was_measured(monkeypatch):
    """It takes what it can; plain calls that it cannot take go to PyTorch's op."""
    monkeypatch.setattr(choice, "_capability", lambda query: 9)
    monkeypatch.setitem(choice.FASTEST, (9, torch.bfloat16), "hopper")
    monkeypatch.setattr(module.kernels.hopper_forward, "devices", {"meta"})
    wide = [x.to("meta") for x in make_inputs(1, 4, 4, 8, 8, 64, 64, torch.bfloat16)[:3]]
    assert module.OP.decline(*wide, None, *NO_OPTIONS) is None
    assert choice.MEASURING in module.OP.decline(*(x.half() for x in wide), None, *NO_OPTIONS)
    narrow = module.OP.decline(*on_meta(torch.bfloat16), None, *NO_OPTIONS)
    assert narrow.endswith("that the Hopper kernel cannot take")
    with choice.asking_for("native"):
        assert not module._takes_hopper(*wide, None, 0.0, None)


def test_decoding_is_left_to_the_kernel_that_splits_the_keys(monkeypatch):
    """The Hopper kernel, measured with long calls, would give each head one block."""
    monkeypatch.setattr(choice, "_capability", lambda query: 9)
    monkeypatch.setitem(choice.FASTEST, (9, torch.bfloat16), "hopper")
    monkeypatch.setattr(module.kernels.hopper_forward, "devices", {"meta"})
    for queries, is_taken in ((16, False), (17, True)):
        sizes = (1, 4, 4, queries, 256, 64, 64)
        tensors = [x.to("meta") for x in make_inputs(*sizes, torch.bfloat16)[:3]]
        assert module._takes_hopper(*tensors, None, 0.0, None) is is_taken


def test_the_kernel_of_torch_that_was_measured_comes_first(monkeypatch):
    """Others that are switched on remain, for a call that it cannot take."""
    asked = []

    @contextmanager
    def watched(kernels, set_priority):
        asked.append((kernels, set_priority))
        yield

    monkeypatch.setattr(choice, "sdpa_kernel", watched)
    monkeypatch.setattr(choice, "_capability", lambda query: 8)
    monkeypatch.setitem(choice.FASTEST, (8, torch.float16), "efficient")
    query, _, _ = on_meta(torch.float16)
    with choice.torch_kernel(query):
        pass
    with choice.torch_kernel(query.float()):
        pass
    ((kernels, is_ordered),) = asked
    assert is_ordered and kernels[0] == SDPBackend.EFFICIENT_ATTENTION
    assert {SDPBackend.FLASH_ATTENTION, SDPBackend.MATH} < set(kernels)


def test_tf32_is_allowed_by_the_switch_of_torchs_products():
    """To float32 on another device than the CPU."""
    half, whole = (on_meta(dtype)[0] for dtype in (torch.float16, torch.float32))
    assert not choice.may_use_tf32(whole)
    with allowed_tf32():
        assert choice.may_use_tf32(whole)
        assert not choice.may_use_tf32(half) and not choice.may_use_tf32(torch.ones(2, 2))


def test_tf32_is_asked_of_the_switch_that_torch_recommends():
    """After ``fp32_precision`` was set, torch answers no question by the older name."""
    query = on_meta(torch.float32)[0]
    products = torch.backends.cuda.matmul
    before = products.fp32_precision
    products.fp32_precision = "tf32"
    try:
        with pytest.raises(RuntimeError, match="legacy"):
            products.allow_tf32  # noqa: B018  the older name, which raises
        assert choice.may_use_tf32(query)
    finally:
        products.fp32_precision = before
    assert not choice.may_use_tf32(query)


def test_switches_are_asked_while_a_graph_is_traced():
    """Another answer later makes another graph."""

    @torch.compile(backend="eager", fullgraph=True)
    def answers(query):
        why = choice.why_torch_on_gpu(query, query, None, False)
        return query.new_empty(1 + choice.may_use_tf32(query), 1 + (why is None))

    query = on_meta(torch.float32)[0]
    assert answers(query).shape == (1, 1)
    with allowed_tf32():
        assert answers(query).shape == (2, 1)
    torch.use_deterministic_algorithms(True)
    try:
        assert answers(query).shape == (1, 2)
    finally:
        torch.use_deterministic_algorithms(False)


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


def test_the_kernel_for_hopper_gpus_refuses_other_devices(monkeypatch):
    """By name alone, and no other kernel takes the call; nothing takes it by itself."""
    query, key, value, _ = make_inputs(1, 1, 1, 2, 2, 64, 64, torch.bfloat16)
    assert ops.explain(ops.attention, query, key, value).backend != "hopper"
    with choice.asking_for("hopper"):
        for call in (ops.attention, functools.partial(ops.explain, ops.attention)):
            with pytest.raises(BackendError, match="=hopper cannot take this call"):
                call(query, key, value)
    assert choice.forced is None

    class OnGpu:
        device, dtype = torch.device("cuda", 0), torch.bfloat16

    for capability, why in (((10, 0), "no Hopper"), ((8, 9), "no Hopper")):
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _, at=capability: at)
        assert why in choice.why_not_hopper({"cuda"}, OnGpu, OnGpu, None, 0.0, None)


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
