"""Transformer: the papers' equations; neither padding nor a cache changes anything."""

import pytest
import torch
import torch.nn.functional as F

from dlplug.architectures.transformer import Transformer
from dlplug.errors import InvalidValueError
from dlplug.ops import use_backend


def transformer(**arguments):
    torch.manual_seed(0)
    chosen = {"vocab_size": 20, "dim": 16, "depth": 2, "heads": 4} | arguments
    model = Transformer(num_outputs=chosen.pop("num_outputs", 20), **chosen)
    for parameter in model.parameters():  # small initial weights would hide errors
        torch.nn.init.normal_(parameter, std=0.3)
    return model


def tokens(batch=3, length=9):
    torch.manual_seed(1)
    return torch.randint(1, 20, (batch, length))


def by_the_papers(model, x, seen_TT, gelu, layer):
    """The equations with PyTorch's own functions, from the model's weights; one head at a time."""

    def norm(z, module):
        inner = module.norm
        if layer:
            return F.layer_norm(z, z.shape[-1:], inner.weight, inner.bias, 1e-6)
        return z / (z.square().mean(-1, keepdim=True) + 1e-6).sqrt() * inner.weight

    def turned(z):  # eq. 34 of arXiv:2104.09864, with matrices
        out = torch.empty_like(z)
        half = z.shape[-1] // 2
        for t in range(z.shape[1]):
            for j in range(half):
                angle = torch.tensor(t * 10000.0 ** (-j / half))
                a, b = z[:, t, j], z[:, t, j + half]
                out[:, t, j] = a * angle.cos() - b * angle.sin()
                out[:, t, j + half] = a * angle.sin() + b * angle.cos()
        return out

    z = F.embedding(x, model.embed.weight)
    for block in model.blocks:
        own = block.attention
        y = norm(z, block.attention_norm)
        width, heads, groups = own.width, own.heads, own.kv_heads
        q, k, v = F.linear(y, own.qkv.weight).split(
            [heads * width, groups * width, groups * width], dim=-1
        )
        found = []
        for head in range(heads):
            group = head // (heads // groups)
            part = slice(group * width, (group + 1) * width)
            qh, kh = turned(q[..., head * width : (head + 1) * width]), turned(k[..., part])
            scores = qh @ kh.transpose(1, 2) / width**0.5
            scores = scores.masked_fill(~seen_TT, -torch.inf)
            found.append(scores.softmax(-1) @ v[..., part])
        z = z + F.linear(torch.cat(found, -1), own.out.weight)
        y = norm(z, block.network_norm)
        up, out = block.network.up, block.network.out
        if gelu:
            y = F.linear(F.gelu(F.linear(y, up.weight, up.bias)), out.weight, out.bias)
        else:
            gate, value = F.linear(y, up.weight).chunk(2, -1)
            y = F.linear(gate * gate.sigmoid() * value, out.weight)
        z = z + y
    z = norm(z, model.norm)
    return F.linear(z, model.head.weight, model.head.bias)


@pytest.mark.parametrize("backend", ["auto", "reference"])
@pytest.mark.parametrize(
    "arguments",
    [
        {"is_causal": True},
        {"kv_heads": 2, "activation": "gelu", "norm": "layer"},
        {"is_causal": True, "window": 3, "kv_heads": 1},
        {"window": 4},
    ],
)
def test_it_equals_the_papers(arguments, backend):
    """Outputs and gradients of decoders and encoders, with grouped heads and windows.

    Tolerance: float32 sums in another order, over two blocks.
    """
    model, x = transformer(per_position=True, **arguments), tokens()
    window, is_causal = arguments.get("window"), arguments.get("is_causal", False)
    distance = torch.arange(9)[:, None] - torch.arange(9)
    seen = torch.ones(9, 9, dtype=torch.bool) if not is_causal else distance >= 0
    if window:
        seen = seen & (distance < window if is_causal else distance.abs() <= window // 2)
    with use_backend(backend):
        output = model(x)
        output.square().sum().backward()
    found = {name: p.grad.clone() for name, p in model.named_parameters()}
    model.zero_grad()
    is_gelu, is_layer = arguments.get("activation") == "gelu", arguments.get("norm") == "layer"
    expected = by_the_papers(model, x, seen, is_gelu, is_layer)
    expected.square().sum().backward()
    torch.testing.assert_close(output, expected, rtol=1e-4, atol=1e-4)
    for name, parameter in model.named_parameters():
        torch.testing.assert_close(found[name], parameter.grad, rtol=1e-3, atol=1e-2, msg=name)


# One part in 2^24 of float32, or 2^53, grown over two blocks of sums in another order.
@pytest.mark.parametrize(("dtype", "atol"), [(torch.float32, 1e-5), (torch.float64, 1e-13)])
@pytest.mark.parametrize("arguments", [{}, {"window": 3}, {"kv_heads": 2}])
def test_cached_decoding_equals_the_full_pass(arguments, dtype, atol):
    """A prompt at once, then token by token; with windows and grouped heads."""
    model = transformer(per_position=True, is_causal=True, **arguments).to(dtype).eval()
    x = tokens(length=12)
    with torch.no_grad():
        full = model(x)
        cache = model.new_cache(3, 12)
        parts = [model(x[:, :5], cache=cache)]
        parts += [model(x[:, t : t + 1], cache=cache) for t in range(5, 12)]
    assert cache.length == 12
    torch.testing.assert_close(torch.cat(parts, 1), full, rtol=0, atol=atol * full.abs().max())
    with pytest.raises(InvalidValueError, match=r"12 \+ 1 positions, and the cache has room for"):
        model(x[:, :1], cache=cache)


@pytest.mark.parametrize("pool", ["mean", "last"])
@pytest.mark.parametrize("is_causal", [False, True])
@pytest.mark.parametrize("per_position", [False, True])
def test_padding_changes_nothing(per_position, is_causal, pool):
    """In front of a sequence, and behind it: outputs of its tokens are as without.

    In front, positions are shifted, and rotary positions know distances alone.
    """
    model = transformer(per_position=per_position, is_causal=is_causal, pool=pool).eval()
    x = tokens()
    alone = model(x)
    behind = model(F.pad(x, (0, 4)))
    before = model(F.pad(x, (4, 0)))
    if per_position:
        behind, before = behind[:, :9], before[:, 4:]
    torch.testing.assert_close(behind, alone, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(before, alone, rtol=1e-3, atol=1e-3)


def test_a_record_of_padding_alone_gives_finite_outputs():
    """And finite gradients."""
    model = transformer(num_outputs=3)
    x = tokens()
    x[1] = 0
    output = model(x)
    output.sum().backward()
    assert output.isfinite().all()
    assert all(p.grad.isfinite().all() for p in model.parameters())


@pytest.mark.parametrize("pool", ["mean", "last"])
def test_series_of_numbers_are_taken(pool):
    """(B, T, F) to outputs of the whole; zeros are no padding."""
    model = transformer(vocab_size=None, num_features=3, num_outputs=5, pool=pool).eval()
    x = torch.randn(4, 6, 3)
    assert model(x).shape == (4, 5)
    assert not torch.allclose(model(F.pad(x, (0, 0, 2, 0))), model(x))


def test_a_causal_position_sees_nothing_later():
    """Changing a token changes no earlier output."""
    model, x = transformer(per_position=True, is_causal=True).eval(), tokens()
    other = x.clone()
    other[:, 6] = x[:, 6] % 19 + 1
    same = (model(x) == model(other)).all(dim=-1).all(dim=0)
    assert same[:6].all() and not same[6:].any()


def test_tied_embeddings_are_the_last_layer():
    """One matrix fewer, and its gradient has both parts."""
    model = transformer(per_position=True, tie_embeddings=True)
    assert model.head is None
    model(tokens()).sum().backward()
    assert model.embed.weight.grad[0].abs().sum() > 0  # token 0 occurs in no input


def test_dropout_acts_while_training_only():
    """Two passes differ in training and agree in evaluation."""
    model, x = transformer(dropout=0.5), tokens()
    assert not torch.equal(model(x), model(x))
    model.eval()
    assert torch.equal(model(x), model(x))


def test_it_compiles_to_the_same():
    """In one graph, with and without padding."""
    model = transformer(num_outputs=4).eval()
    compiled = torch.compile(model, backend="eager", fullgraph=True)
    for x in (tokens(), F.pad(tokens(), (0, 3))):
        torch.testing.assert_close(compiled(x), model(x), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"heads": 3}, "dim = 16, heads = 3"),
        ({"dim": 12, "heads": 4}, "dim / heads is an even number"),
        ({"kv_heads": 3}, "heads = 4 is not divisible by kv_heads = 3"),
        ({"depth": 0}, "depth = 0"),
        ({"window": 0}, "window = 0"),
        ({"dropout": 1.0}, "dropout = 1.0"),
        ({"activation": "relu"}, "activation = 'relu'"),
        ({"norm": "batch"}, "known: activation: swiglu, gelu; norm: rms, layer; pool: mean, last"),
        ({"vocab_size": None}, "vocab_size = None, num_features = None"),
        ({"tie_embeddings": True}, "tie_embeddings with 20 outputs of the whole, for 20 tokens"),
    ],
)
def test_values_that_do_not_fit_are_refused(arguments, message):
    """With the values, and what is known."""
    with pytest.raises(InvalidValueError) as error:
        transformer(**arguments)
    assert message in str(error.value)


def test_a_cache_needs_a_decoder():
    """An encoder's earlier outputs change with each new position."""
    with pytest.raises(InvalidValueError, match="a cache is of use only"):
        transformer(per_position=True).new_cache(1, 4)
