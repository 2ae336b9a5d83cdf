"""Tests of dlplug/ops/acceleration over PyTorch's own modules."""

import copy
import io
import pickle
from typing import ClassVar

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrize

from dlplug import ops
from dlplug.errors import OpError
from tests.ops.acceleration_cases import assert_half_as_exact, count_calls, dtype_of

E, H, N, L = 64, 4, 3, 40


def encoder(norm_first=True, dropout=0.0, norm=nn.LayerNorm, **options):
    torch.manual_seed(0)
    layer = nn.TransformerEncoderLayer(
        E, H, 2 * E, dropout, batch_first=True, norm_first=norm_first, **options
    )
    return nn.TransformerEncoder(layer, 2, norm=norm(E), enable_nested_tensor=False)


def numbers(*shape, dtype=torch.float32, seed=1):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)).to(dtype)


def causal(dtype):
    return nn.Transformer.generate_square_subsequent_mask(L, dtype=dtype)


def _added(hidden, dtype):
    return torch.zeros(hidden.shape, dtype=dtype).masked_fill(hidden, -torch.inf)


def padding():
    hidden = torch.zeros(N, L, dtype=torch.bool)
    hidden[0, 30:] = hidden[2, 5:] = True
    return hidden


# PyTorch's own op computes small calls; the reference backend differs from it at every size.
@pytest.mark.parametrize(
    ("backend", "dtype"),
    [("cpu", torch.float32), ("cpu", torch.bfloat16), ("reference", torch.float32)],
)
@pytest.mark.parametrize("norm_first", [True, False])
@pytest.mark.parametrize("mask", ["none", "causal", "padding", "both"])
def test_an_encoder_stays_as_exact(backend, dtype, norm_first, mask):
    """Output and all gradients of torch's encoder, with every kind of mask."""
    if backend == "cpu" and not ops.isas():
        pytest.skip("no compiled CPU kernels here")
    x, hidden = numbers(N, L, E), padding()

    def call(model):
        kind = dtype_of(model)
        mode = "reference" if kind == torch.float64 else backend
        with ops.use_backend(mode):
            return model(
                x.to(dtype).to(kind),
                mask=causal(kind) if mask in ("causal", "both") else None,
                src_key_padding_mask={"padding": hidden, "both": _added(hidden, kind)}.get(mask),
            )

    assert_half_as_exact(encoder(norm_first).to(dtype), call)


@pytest.mark.parametrize("norm_first", [True, False])
def test_a_decoder_stays_as_exact(norm_first, cpu_kernels):
    """Its three additions go with their norms; attention to the encoder's output too."""
    torch.manual_seed(0)
    layer = nn.TransformerDecoderLayer(E, H, 2 * E, 0.0, batch_first=True, norm_first=norm_first)
    x, memory = numbers(N, L, E), numbers(N, 20, E, seed=2)

    def call(model):
        kind = dtype_of(model)
        with ops.use_backend("reference" if kind == torch.float64 else "cpu"):
            return model(
                x.to(kind), memory.to(kind), causal(kind), tgt_is_causal=True,
                memory_key_padding_mask=padding()[:, :20],
            )  # fmt: skip

    assert_half_as_exact(nn.TransformerDecoder(layer, 1), call)


def test_the_ops_are_called(monkeypatch):
    """Each residual addition takes one pass with the norm behind it, where there is one."""
    calls = count_calls(monkeypatch)
    model = encoder(norm_first=True)
    report = ops.accelerate(model)
    assert report.counts == {"add_layer_norm": 2, "attention": 2, "layer_norm": 5}
    model(numbers(N, L, E))
    assert calls == {"add_layer_norm": 2, "attention": 2, "layer_norm": 3}
    calls.clear()
    post = encoder(norm_first=False)
    ops.accelerate(post)
    post(numbers(N, L, E))
    assert calls == {"add_layer_norm": 4, "attention": 2, "layer_norm": 1}


def test_rms_norm_is_swapped(monkeypatch):
    """With and without eps and weight; of a weight in another dtype torch's own runs."""
    calls = count_calls(monkeypatch)
    for norm in (nn.RMSNorm(E), nn.RMSNorm(E, 1e-3), nn.RMSNorm(E, elementwise_affine=False)):
        x = numbers(N, E)
        expected = norm(x)
        assert ops.accelerate(norm).counts == {"rms_norm": 1}
        torch.testing.assert_close(norm(x), expected)
    assert calls == {"rms_norm": 3}
    wide = nn.RMSNorm(E)
    ops.accelerate(wide)
    with pytest.warns(UserWarning, match="Mismatch dtype"):
        wide(numbers(N, E, dtype=torch.bfloat16))
    assert calls == {"rms_norm": 3}


def test_nothing_of_the_module_changes():
    """Names, values, identity, ties, hooks, mode, dtype and what isinstance says."""
    model = encoder()
    model.layers[1].norm1.weight = model.layers[0].norm1.weight
    model.eval()
    seen = []
    model.layers[0].norm1.register_forward_hook(lambda *_: seen.append("norm1"))
    before = dict(model.named_parameters(remove_duplicate=False))
    state, text = model.state_dict(), repr(model)
    ops.accelerate(model)
    after = dict(model.named_parameters(remove_duplicate=False))
    assert list(after) == list(before) and all(after[n] is before[n] for n in before)
    assert list(model.state_dict()) == list(state) and repr(model) == text
    assert not model.training and not model.layers[0].norm1.training
    assert isinstance(model.layers[0], nn.TransformerEncoderLayer)
    assert model.layers[0].__class__.__name__ == "TransformerEncoderLayer"
    with torch.enable_grad():
        model(numbers(N, L, E))
    assert seen == ["norm1"]
    model.load_state_dict(state)
    assert next(model.double().parameters()).dtype is torch.float64


@pytest.mark.parametrize(
    "duplicate", [copy.deepcopy, copy.copy, lambda m: pickle.loads(pickle.dumps(m))]
)
def test_copies_and_pickles_stay_accelerated(duplicate, monkeypatch):
    """With weights of their own, or shared ones in a shallow copy; they can be undone too."""
    model = encoder()
    ops.accelerate(model)
    twin = duplicate(model)
    assert type(twin.layers[0].norm1) is type(model.layers[0].norm1)
    expected = model(numbers(N, L, E))
    calls = count_calls(monkeypatch)
    torch.testing.assert_close(twin(numbers(N, L, E)), expected, rtol=0, atol=0)
    assert calls["attention"] == 2
    ops.accelerate(twin).undo()
    assert type(twin.layers[0].norm1) is nn.LayerNorm


def test_a_shallow_copy_reads_its_own_weights():
    """As DataParallel's replicas do: other weights in the copy are those it computes with."""
    norm = nn.LayerNorm(E)
    ops.accelerate(norm)
    replica = copy.copy(norm)
    replica._parameters = {**norm._parameters, "weight": nn.Parameter(torch.full((E,), 2.0))}
    x = numbers(N, E)
    torch.testing.assert_close(replica(x), 2 * norm(x))


def test_undo_brings_back_the_very_same_forward():
    """Bit by bit, class by class; a second call does nothing."""
    model = encoder()
    classes = [type(m) for m in model.modules()]
    expected = model(numbers(N, L, E))
    report = ops.accelerate(model)
    assert [type(m) for m in model.modules()] != classes
    report.undo()
    report.undo()
    assert [type(m) for m in model.modules()] == classes
    assert torch.equal(model(numbers(N, L, E)), expected)


def test_a_second_call_changes_nothing_and_says_the_same():
    """And its report undoes what the first one did."""
    model = encoder()
    first = ops.accelerate(model)
    classes = [type(m) for m in model.modules()]
    second = ops.accelerate(model, exclude="layers.0")
    assert [type(m) for m in model.modules()] == classes
    assert second.decisions == first.decisions and str(second) == str(first)
    second.undo()
    assert type(model.layers[0].norm1) is nn.LayerNorm


def test_undo_refuses_what_changed_the_class_since():
    """Nothing is undone by half."""
    model = encoder()
    report = ops.accelerate(model)
    parametrize.register_parametrization(model.layers[1].norm2, "weight", nn.Softplus())
    with pytest.raises(OpError, match=r"'layers.1.norm2' was changed .* ParametrizedLayerNorm"):
        report.undo()
    assert "norm1" in str(report) and type(model.layers[0].norm1) is not nn.LayerNorm
    parametrize.remove_parametrizations(model.layers[1].norm2, "weight")
    report.undo()
    assert type(model.layers[1].norm2) is type(model.layers[0].norm1) is nn.LayerNorm


class Doubled(nn.LayerNorm):
    def forward(self, x):
        return 2 * super().forward(x)


class Renamed(nn.LayerNorm):
    """A subclass without a forward pass of its own."""


class FourierNorm(nn.Module):
    def forward(self, x):
        return x / torch.fft.fft(x).abs().amax(-1, keepdim=True)


class Strange(nn.LayerNorm):
    def __reduce_ex__(self, protocol):
        return Strange, (self.normalized_shape,)


class Recorded(nn.LayerNorm):
    known: ClassVar[list[type]] = []

    def __init_subclass__(cls):
        Recorded.known.append(cls)


def replaced():
    norm = nn.LayerNorm(E)
    norm.forward = lambda x: x
    return norm


def parametrised():
    norm = nn.LayerNorm(E)
    return parametrize.register_parametrization(norm, "weight", nn.Softplus())


def clashing():
    norm = nn.LayerNorm(E)
    norm.takes = "anything"
    return norm


@pytest.mark.parametrize(
    ("module", "reason"),
    [
        (nn.LayerNorm((4, E)), "it normalises over 2 axes at once"),
        (Doubled(E), "Doubled has a forward pass of its own"),
        (FourierNorm(), "the formula of FourierNorm is not known to be an op's"),
        (nn.BatchNorm1d(E), "the formula of BatchNorm1d is not known to be an op's"),
        (Strange(E), "Strange is pickled in a way of its own"),
        (Recorded(E), "Recorded keeps a record of its subclasses"),
        (replaced(), "its forward was replaced on the object"),
        (parametrised(), "its weights are parametrised"),
        (clashing(), "it has an attribute 'takes', which the swapped class needs"),
    ],
)
def test_what_is_not_proven_equal_is_left_alone(module, reason):
    """With the reason; the class stays."""
    plain = type(module)
    report = ops.accelerate(nn.Sequential(module))
    assert type(module) is plain and not report.swapped
    assert report["0"].reason == reason and report.left == [report["0"]]
    assert reason in str(report) and reason in report.summary()


@pytest.mark.filterwarnings("ignore:`torch.jit.script`")  # deprecated, and still in use
def test_scripted_modules_are_left_alone():
    """Their code is not Python's any more."""
    scripted = torch.jit.script(nn.LayerNorm(E))
    report = ops.accelerate(scripted)
    assert not report.swapped and report[""].reason == "it is scripted"


def test_a_subclass_that_inherits_forward_is_swapped():
    """Its name says nothing, its forward pass everything; a Linear is not spoken of."""
    report = ops.accelerate(nn.Sequential(Renamed(E), nn.Linear(E, E)))
    assert report.counts == {"layer_norm": 1} and report.left == []
    assert report["1"].reason == "dlplug has no op for Linear"


def test_globs_choose_modules_with_all_below():
    """Exclude wins; a module in two places is excluded by either name."""
    model = encoder()
    report = ops.accelerate(model, include=["layers.*", "norm"], exclude=["*.self_attn"])
    assert report.counts == {"add_layer_norm": 2, "layer_norm": 5}
    assert report["layers.0.self_attn"].reason == "include and exclude leave it out"
    report.undo()
    assert ops.accelerate(model, include="layers.1").counts == {
        "add_layer_norm": 1, "attention": 1, "layer_norm": 2,
    }  # fmt: skip
    shared = nn.LayerNorm(E)
    twice = nn.ModuleDict({"a": shared, "b": nn.Sequential(shared), "c": nn.LayerNorm(E)})
    assert ops.accelerate(twice, exclude="b").counts == {"layer_norm": 1}


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"include": "layer.*"}, "include: no module of the model is called 'layer.*'"),
        ({"exclude": ["norm", "layers.0.nrom1"]}, "did you mean 'layers.0.norm1'?"),
        ({"include": [3]}, "include holds 3, which is no glob"),
    ],
)
def test_a_glob_that_matches_nothing_is_an_error(options, text):
    """And nothing has been swapped."""
    model = encoder()
    with pytest.raises(OpError) as caught:
        ops.accelerate(model, **options)
    assert text in str(caught.value)
    assert type(model.norm) is nn.LayerNorm


def test_only_modules_are_taken():
    """A state_dict is none."""
    with pytest.raises(OpError, match=r"takes a torch\.nn\.Module, got a OrderedDict"):
        ops.accelerate(nn.LayerNorm(E).state_dict())


def test_attention_with_weights_runs_as_it_was(monkeypatch):
    """Asked for, the weights are PyTorch's own, bit by bit."""
    calls = count_calls(monkeypatch)
    torch.manual_seed(0)
    module, x = nn.MultiheadAttention(E, H, batch_first=True), numbers(N, L, E)
    expected = module(x, x, x)
    ops.accelerate(module)
    found = module(x, x, x)
    assert torch.equal(found[0], expected[0]) and torch.equal(found[1], expected[1])
    assert not calls
    module(x, x, x, need_weights=False)
    assert calls == {"attention": 1}


def test_attention_with_dropout_trains_as_it_was(monkeypatch):
    """One seed drops the same weights; in evaluation the op runs."""
    calls = count_calls(monkeypatch)
    model, x = encoder(dropout=0.3), numbers(N, L, E)
    torch.manual_seed(5)
    expected = model(x)
    report = ops.accelerate(model, include="*.self_attn")
    assert "dropout" in report["layers.0.self_attn"].reason
    torch.manual_seed(5)
    assert torch.equal(model(x), expected) and not calls
    model.eval()(x)
    assert calls == {"attention": 2}


@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors")  # "in prototype stage"
def test_the_fast_path_of_torch_is_left_to_run():
    """In evaluation, padded batches are packed, and what is padding comes out as 0."""
    torch.manual_seed(0)
    layer = nn.TransformerEncoderLayer(E, H, 2 * E, 0.1, batch_first=True)
    model = nn.TransformerEncoder(layer, 2).eval()
    with torch.no_grad():
        expected = model(numbers(N, L, E), src_key_padding_mask=padding())
        ops.accelerate(model)
        found = model(numbers(N, L, E), src_key_padding_mask=padding())
    assert (found[padding()] == 0).all() and torch.equal(found, expected)


def test_errors_are_those_of_torch():
    """A wrong shape or dtype is refused in the module's own words."""
    norm, attention = nn.LayerNorm(E), nn.MultiheadAttention(E, H)
    x, y = numbers(N, E + 1), numbers(N, L, E)
    calls = [
        (norm, (x,), {}),
        (norm, (numbers(N, E).double(),), {}),
        (attention, (y, y, y[..., 1:]), {"need_weights": False}),
        (attention, (y, y, y), {"need_weights": False, "is_causal": True}),
    ]
    plain = []
    for module, args, options in calls:
        with pytest.raises((RuntimeError, AssertionError)) as caught:
            module(*args, **options)
        plain.append((type(caught.value), str(caught.value)))
    ops.accelerate(nn.ModuleList([norm, attention]))
    for (module, args, options), (kind, text) in zip(calls, plain, strict=True):
        with pytest.raises(kind) as caught:
            module(*args, **options)
        assert type(caught.value) is kind and str(caught.value) == text


def test_hooks_on_a_norm_are_called(monkeypatch):
    """A norm that somebody watches is called as a module; the addition is then done before."""
    calls = count_calls(monkeypatch)
    model, seen = encoder(norm_first=False), []
    ops.accelerate(model)
    for register in ("forward", "forward_pre", "full_backward"):
        getattr(model.layers[0].norm1, f"register_{register}_hook")(
            lambda *_, name=register: seen.append(name)
        )
    model(numbers(N, L, E)).sum().backward()
    assert seen == ["forward_pre", "forward", "full_backward"]
    assert calls == {"add_layer_norm": 3, "layer_norm": 2, "attention": 2}


def test_a_backend_that_was_asked_for_is_not_replaced():
    """float64 has no kernel: that is said, and PyTorch's own does not step in."""
    norm = nn.LayerNorm(E).double()
    ops.accelerate(norm)
    with ops.use_backend("cpu"), pytest.raises(OpError, match="cannot take this call"):
        norm(numbers(N, E, dtype=torch.float64))


def test_a_hint_that_hides_appended_keys_is_torchs():
    """With `is_causal`, PyTorch's module hides what it appends, and the model was trained so."""
    torch.manual_seed(0)
    module, x = nn.MultiheadAttention(E, H, add_bias_kv=True), numbers(L, N, E)
    given = {"attn_mask": causal(torch.bool), "is_causal": True, "need_weights": False}
    expected, _ = module(x, x, x, **given)
    ops.accelerate(module)
    assert torch.equal(module(x, x, x, **given)[0], expected)


@pytest.mark.filterwarnings("ignore:`torch.jit")  # deprecated, and still in use
def test_traced_modules_are_saved():
    """torch.jit.trace records PyTorch's own ops: of a Python function nothing could be saved."""
    model, x = nn.Sequential(nn.Linear(E, E), nn.LayerNorm(E)), numbers(8192, E)
    ops.accelerate(model)
    with io.BytesIO() as file:
        torch.jit.save(torch.jit.trace(model, x), file)
        file.seek(0)
        loaded = torch.jit.load(file)
    torch.testing.assert_close(loaded(x), model(x))


def test_compiles_without_a_graph_break():
    """Under torch.compile a layer gives what it gives eagerly."""
    layer, x = encoder().layers[0], numbers(N, L, E)
    ops.accelerate(layer)
    torch._dynamo.reset()
    compiled = torch.compile(layer, fullgraph=True, backend="eager")
    torch.testing.assert_close(compiled(x), layer(x))


def test_fx_sees_the_same_leaves():
    """A swapped norm stays one node of a traced graph."""
    model = nn.Sequential(nn.LayerNorm(E), nn.Linear(E, E))
    ops.accelerate(model)
    nodes = torch.fx.symbolic_trace(model).graph.nodes
    assert [node.op for node in nodes] == ["placeholder", "call_module", "call_module", "output"]


@pytest.mark.parametrize("norm", [nn.LayerNorm, nn.RMSNorm])
def test_fx_looks_into_classes_of_others_as_before(norm):
    """A norm that is no leaf records PyTorch's own function."""
    model = nn.Sequential(type("Own", (norm,), {"__module__": "other"})(E))
    x = numbers(N, E)
    expected = str(torch.fx.symbolic_trace(model).graph)
    assert ops.accelerate(model).swapped
    traced = torch.fx.symbolic_trace(model)
    assert str(traced.graph) == expected
    torch.testing.assert_close(traced(x), model(x))


def test_the_report_says_which_calls_of_attention_take_the_op():
    """Those that ask for no weights: PyTorch's default asks for them."""
    module = nn.MultiheadAttention(E, H)
    report = ops.accelerate(module)
    assert report[""].ops == ("attention",)
    assert report[""].reason == "in calls with need_weights=False, which is not the default"


def test_the_report_tells_of_each_kind():
    """Rows of equal modules are one, with the first names."""
    report = ops.accelerate(nn.Sequential(encoder(dropout=0.1), Doubled(E)))
    assert str(report) == (
        "   2 TransformerEncoderLayer -> add_layer_norm: with gradients; else PyTorch's fast path"
        " may come\n"
        "       0.layers.0, 0.layers.1\n"
        "   2 MultiheadAttention -> attention: in calls with need_weights=False, which is not the"
        " default; in training its dropout of attention weights is PyTorch's own\n"
        "       0.layers.0.self_attn, 0.layers.1.self_attn\n"
        "   5 LayerNorm -> layer_norm\n"
        "       0.layers.0.norm1, 0.layers.0.norm2, 0.layers.1.norm1 and 2 more\n"
        "   1 Doubled -> left alone: Doubled has a forward pass of its own\n"
        "       1"
    )
    assert report.summary() == (
        "2 add_layer_norm, 2 attention, 5 layer_norm; 1 left alone (1: Doubled has a forward pass"
        " of its own)"
    )
