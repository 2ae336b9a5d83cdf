"""Tests of dlplug/ops/acceleration/traced_blocks.py: additions in blocks that nobody knows."""

import pickle

import pytest
import torch
from torch import nn

from dlplug import ops
from tests.ops.acceleration_cases import assert_half_as_exact, count_calls, dtype_of

E = 48


def numbers(*shape, seed=1):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


class PreNorm(nn.Module):
    """As in most vision transformers; its mixer takes what the block was given."""

    def __init__(self, norm=nn.LayerNorm):
        super().__init__()
        self.norm1, self.norm2 = norm(E), norm(E)
        self.mixer, self.mlp, self.drop = nn.Bilinear(E, 1, E), nn.Linear(E, E), nn.Dropout(0.2)

    def forward(self, x, scale, unused=None, **options):
        x = x + self.drop(self.mixer(self.norm1(x), scale, **options))
        return x + self.drop(self.mlp(self.norm2(x)))


class PostNorm(nn.Module):
    """As in BERT."""

    def __init__(self, norm=nn.LayerNorm):
        super().__init__()
        self.dense, self.norm = nn.Linear(E, E), norm(E)

    def forward(self, x, residual):
        x = self.dense(x)
        return self.norm(x + residual)


class Names(nn.Module):
    """The sum, its norm and the stream are all used again."""

    def __init__(self):
        super().__init__()
        self.norm, self.dense = nn.RMSNorm(E), nn.Linear(E, E)

    def forward(self, x, y):
        h = x + y
        normed = self.norm(h)
        return self.dense(normed) + normed * h - x


CASES = [
    (PreNorm, (numbers(4, 9, E), numbers(4, 9, 1)), "add_layer_norm"),
    (lambda: PreNorm(nn.RMSNorm), (numbers(4, 9, E), numbers(4, 9, 1)), "add_rms_norm"),
    (PostNorm, (numbers(4, 9, E), numbers(4, 9, E, seed=2)), "add_layer_norm"),
    (Names, (numbers(4, 9, E), numbers(4, 9, E, seed=2)), "add_rms_norm"),
]


@pytest.mark.parametrize(("make", "inputs", "op"), CASES)
def test_an_addition_goes_with_its_norm(make, inputs, op, monkeypatch):
    """Exactly one call, outputs and gradients as exact as before, the same dropout."""
    torch.manual_seed(0)
    block = make()

    def call(model):
        kind = dtype_of(model)
        torch.manual_seed(3)
        with ops.use_backend("reference"):
            return model(*(x.to(kind) for x in inputs))

    block.eval()
    assert_half_as_exact(block, call)
    block.train()
    expected = call(block)
    calls = count_calls(monkeypatch)
    assert ops.accelerate(block).counts[op] == 1
    torch.testing.assert_close(call(block), expected)
    assert calls[op] == 1


def test_what_the_trace_does_not_hold_runs_as_it_was(monkeypatch):
    """Sums that broadcast, watched norms, and keywords that the signature does not name."""
    calls = count_calls(monkeypatch)
    block = PostNorm()
    x, y = numbers(4, 9, E), numbers(9, E, seed=2)
    expected = block(x, y)
    ops.accelerate(block)
    torch.testing.assert_close(block(x, y), expected)
    assert calls == {"layer_norm": 1}
    seen = []
    block.norm.register_forward_hook(lambda *_: seen.append(1))
    block(x, x)
    assert seen == [1] and calls == {"layer_norm": 2}
    pre = PreNorm()
    ops.accelerate(pre)
    with pytest.raises(TypeError, match="unexpected keyword argument 'colour'"):
        pre(x, x[..., :1], colour="red")
    pre(x, scale=x[..., :1], unused=3)
    assert calls["add_layer_norm"] == 1


class Branch(PostNorm):
    def forward(self, x, residual):
        if residual is None:
            x = self.dense(x)
        return self.norm(x + residual)


class Loop(PostNorm):
    def forward(self, x, residual):
        for _ in range(2):
            x = self.dense(x)
        return self.norm(x + residual)


class State(PostNorm):
    factor = 2

    def forward(self, x, residual):
        return self.norm(self.dense(x) * self.factor + residual)


class Outside(PostNorm):
    def forward(self, x, residual):
        return self.norm(torch.rand_like(x) + residual)


class Inherited(PostNorm):
    def forward(self, x, residual):
        return super().forward(x, residual) + x


class Helper(PostNorm):
    def forward(self, x, residual):
        return self.norm(self.add(x, residual))

    def add(self, x, residual):
        return x + residual


class Written(PostNorm):
    def forward(self, x, residual):
        x += residual
        return self.norm(x)


class Apart(PostNorm):
    def forward(self, x, residual):
        x = x + residual
        y = self.dense(x)
        return self.norm(x) + y


class Context(PostNorm):
    def forward(self, x, residual):
        with torch.no_grad():
            return self.norm(x + residual)


@pytest.mark.parametrize(
    ("block", "reason"),
    [
        (Branch, "its forward pass branches"),
        (Loop, "its forward pass uses range"),
        (State, "its forward pass uses more of self than calls of submodules"),
        (Outside, "its forward pass uses torch"),
        (Inherited, "its forward pass uses super"),
        (Helper, "its forward pass uses more of self than calls of submodules"),
        (Written, "its forward pass changes its inputs in place"),
        (Apart, "no addition goes straight into a norm"),
        (Context, "its forward pass handles exceptions or contexts"),
    ],
)
def test_code_with_another_way_through_is_left_alone(block, reason):
    """With the reason; its norm is swapped all the same."""
    module = block()
    report = ops.accelerate(module)
    assert type(module) is block and report[""].reason == f"residual additions: {reason}"
    assert report.counts == {"layer_norm": 1}


def test_a_block_whose_norms_stay_is_left_alone():
    """There is nothing to go together."""
    block = PostNorm()
    report = ops.accelerate(block, exclude="norm")
    reason = "none of its norms is swapped for one that can add first"
    assert type(block) is PostNorm and report[""].reason == reason


def test_a_pickle_finds_its_additions_again(monkeypatch):
    """A class that was read from a file traces its block at the first call."""
    block = PostNorm()
    ops.accelerate(block)
    text = pickle.dumps(block)
    monkeypatch.setattr(type(block), "run", None)
    calls = count_calls(monkeypatch)
    x = numbers(4, E)
    torch.testing.assert_close(pickle.loads(text)(x, x), block(x, x))
    assert calls == {"add_layer_norm": 2}


class Tied(nn.Module):
    """Two norms and two layers, of which an instance may have one twice."""

    def __init__(self, shares):
        super().__init__()
        self.norm, self.norm2 = nn.LayerNorm(E), nn.LayerNorm(E)
        self.keys, self.keys2 = nn.Linear(E, E), nn.Linear(E, E)
        for name in shares:
            setattr(self, f"{name}2", getattr(self, name))

    def forward(self, x, residual):
        x = self.norm(self.keys(x) + residual)
        return self.norm2(self.keys2(x) + residual)


@pytest.mark.parametrize("shares", [("norm",), ("keys",), ("norm", "keys")])
def test_one_module_under_two_names_is_no_rule_for_others(shares, monkeypatch):
    """Whichever instance was traced, here or where a pickle was read: all call by their names."""
    x, y = numbers(4, E), numbers(4, E, seed=2)
    blocks = Tied(shares), Tied(())
    for parameter in nn.ModuleList(blocks).parameters():
        nn.init.normal_(parameter)
    expected = [block(x, y) for block in blocks]
    calls = count_calls(monkeypatch)
    for block in blocks:
        assert ops.accelerate(block).counts["add_layer_norm"] == 1
    assert type(blocks[0]) is type(blocks[1])
    for first in (0, 1):
        texts = [pickle.dumps(block) for block in blocks]
        monkeypatch.setattr(type(blocks[0]), "run", None)
        twins = [pickle.loads(text) for text in texts]
        for which in (first, 1 - first):
            torch.testing.assert_close(twins[which](x, y), expected[which])
            torch.testing.assert_close(blocks[which](x, y), expected[which])
    assert calls == {"add_layer_norm": 16}


def test_compiles_without_a_graph_break():
    """The rewritten forward pass is ordinary code to torch.compile."""
    block, x = PostNorm(), numbers(4, E)
    ops.accelerate(block)
    torch._dynamo.reset()
    compiled = torch.compile(block, fullgraph=True, backend="eager")
    torch.testing.assert_close(compiled(x, x), block(x, x))
