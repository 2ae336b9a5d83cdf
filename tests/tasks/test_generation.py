"""Generation: what is drawn, when it ends, and that a cache changes nothing."""

import pytest
import torch
from torch import nn

from dlplug.architectures.transformer import Transformer
from dlplug.errors import InvalidValueError
from dlplug.tasks.generation import choose, generate


class Counter(nn.Module):
    """After token t comes t + 1."""

    def forward(self, tokens):
        return nn.functional.one_hot((tokens + 1) % 10, 10).float() * 100


def decoder(**arguments):
    torch.manual_seed(0)
    model = Transformer(12, 12, per_position=True, is_causal=True, dim=16, depth=2, **arguments)
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.4)
    return model


def test_tokens_follow_the_model_until_the_end_token():
    """Or until there are enough; the model's mode stays."""
    model = Counter()
    assert list(generate(model, [3], 4)) == [4, 5, 6, 7]
    assert list(generate(model, [1, 3], 9, end_token=6)) == [4, 5, 6]
    assert model.training


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_a_cache_changes_nothing(temperature):
    """The same tokens as without, as long as the context has room; padding is never drawn."""
    model = decoder(dropout=0.5)

    def drawn(**arguments):
        seeded = torch.Generator().manual_seed(0)
        chosen = {"temperature": temperature, "generator": seeded, "banned": [0]} | arguments
        return list(generate(model, [5, 6], 20, **chosen))

    with_cache = drawn()
    calls = []
    model.register_forward_pre_hook(lambda _, inputs: calls.append(inputs[0].shape[1]))
    assert drawn(context=22) == with_cache and calls == [2] + [1] * 19
    model = nn.Sequential(model)  # has no cache
    assert drawn() == with_cache


def test_a_full_context_goes_on_with_its_later_half():
    """More tokens than the context; also from a prompt that is longer."""
    model, lengths = decoder(), []
    model.register_forward_pre_hook(lambda _, inputs: lengths.append(inputs[0].shape[1]))
    assert len(list(generate(model, [5] * 30, 12, context=8))) == 12
    assert lengths == [8, 4, 1, 1, 1, 1, 4, 1, 1, 1, 1, 4]
    lengths.clear()
    assert len(list(generate(Counter(), [5] * 30, 12, context=8))) == 12


def test_only_the_likeliest_are_drawn():
    """top_k, top_p, temperature 0 and bans, each over many draws."""
    scores = torch.tensor([0.5, 0.3, 0.15, 0.05]).log()

    def seen(**arguments):
        seeded = torch.Generator().manual_seed(0)
        return {choose(scores, generator=seeded, **arguments) for _ in range(300)}

    assert seen() == {0, 1, 2, 3}
    assert seen(top_k=2) == {0, 1}
    assert seen(top_p=0.5) == {0}
    assert seen(top_p=0.81) == {0, 1, 2}
    assert seen(temperature=0) == {0}
    assert seen(banned=[0, 2]) == {1, 3}
    assert seen(temperature=0, banned=[0]) == {1}
    # The last is so small that what is divided by it is infinite.
    assert seen(temperature=0.01) == seen(temperature=1e-320) == {0}


def test_draws_follow_the_probabilities():
    """30 % of 4,000 draws, within five standard deviations."""
    scores = torch.tensor([0.7, 0.3]).log()
    seeded = torch.Generator().manual_seed(0)
    share = sum(choose(scores, generator=seeded) for _ in range(4000)) / 4000
    assert abs(share - 0.3) < 0.037


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"max_tokens": 0}, "max_tokens = 0"),
        ({"temperature": -1.0}, "temperature = -1.0"),
        ({"temperature": float("nan")}, "temperature = nan"),
        ({"top_k": 0}, "top_k = 0"),
        ({"top_p": 0.0}, "top_p = 0.0"),
        ({"prompt": []}, "the prompt is empty"),
    ],
)
def test_values_out_of_range_are_refused(arguments, message):
    """Before anything is drawn."""
    with pytest.raises(InvalidValueError, match=message):
        generate(Counter(), **({"prompt": [1], "max_tokens": 3} | arguments))
