"""Hidden tokens: how many, in which spans, and what becomes of them."""

import pytest
import torch

from dlplug.tasks.token_hiding import hide_tokens, spans

VOCABULARY = 1000


def hidden(span_length=1.0, fraction=0.15, seed=0):
    generator = torch.Generator().manual_seed(seed)
    tokens = torch.randint(5, VOCABULARY, (200, 200), generator=generator)
    can_hide = torch.ones_like(tokens, dtype=torch.bool)
    can_hide[:, 150:] = False
    numbers = torch.rand(4, *tokens.shape, generator=generator)
    return tokens, *hide_tokens(tokens, can_hide, fraction, span_length, 4, VOCABULARY, numbers)


@pytest.mark.parametrize("span_length", [1.0, 3.0])
def test_a_share_is_hidden_by_three_fates(span_length):
    """15 % of what may be hidden; of these 80 % masked, 10 % random, 10 % as they are.

    30,000 tokens: the tolerances are five standard deviations of as many independent spans.
    """
    tokens, found, targets = hidden(span_length)
    is_target = targets != -100
    assert not is_target[:, 150:].any()
    assert torch.equal(targets[is_target], tokens[is_target])
    assert torch.equal(found[~is_target], tokens[~is_target])
    wide = span_length**0.5
    assert abs(float(is_target[:, :150].float().mean()) - 0.15) < 0.011 * wide
    share = (found[is_target] == 4).float().mean()
    assert abs(float(share) - 0.8) < 0.03 * wide
    assert abs(float((found == tokens)[is_target].float().mean()) - 0.1) < 0.023 * wide


def test_spans_have_the_mean_length_that_was_asked_for():
    """Those that touch are told apart by where they begin."""
    generator = torch.Generator().manual_seed(0)
    numbers = torch.rand(2, 300, 300, generator=generator)
    inside, first = spans(*numbers, 0.15, 3.0)
    rows = torch.arange(300)[:, None].expand(300, 300)
    count = len(torch.unique(torch.stack([rows, first])[:, inside], dim=1)[0])
    # 4,500 spans of standard deviation 2.4, cut at the ends of rows: five deviations are 0.2.
    assert abs(int(inside.sum()) / count - 3.0) < 0.2
    assert abs(float(inside.float().mean()) - 0.15) < 0.02


def test_the_numbers_decide():
    """The same again by the same ones, another by others."""
    assert torch.equal(hidden()[1], hidden()[1])
    assert not torch.equal(hidden()[2], hidden(seed=1)[2])


@pytest.mark.parametrize("span_length", [1.0, 3.0])
def test_something_is_hidden_in_every_text(span_length):
    """One token, that of the smallest number, where chance would hide none; not of no tokens.

    Whatever happens to the others: chance hides the first token of the last text.
    """
    tokens = torch.tensor([[7, 8, 9, 0], [7, 8, 9, 0], [0, 0, 0, 0], [7, 8, 0, 0]])
    numbers = torch.full((4, 4, 4), 0.5)
    numbers[0, 0, 2], numbers[0, 1, 1], numbers[0, :3, 3] = 0.4, 0.4, 0.3
    numbers[0, 3, 0] = numbers[1, 3, 1] = 0.0  # where a span begins, and before where it has ended
    _, targets = hide_tokens(tokens, tokens != 0, 1e-9, span_length, 4, 20, numbers)
    assert targets.tolist() == [
        [-100, -100, 9, -100],
        [-100, 8, -100, -100],
        [-100, -100, -100, -100],
        [7, -100, -100, -100],
    ]


def chain(begins, goes_on, fraction, span_length):
    """Position by position."""
    begin = fraction / (fraction + span_length * (1 - fraction))
    inside = torch.zeros_like(begins, dtype=torch.bool)
    first = torch.zeros_like(begins, dtype=torch.int64)
    inside[:, 0] = begins[:, 0] < fraction
    for t in range(1, begins.shape[1]):
        stays = inside[:, t - 1] & (goes_on[:, t] >= 1 / span_length)
        inside[:, t] = stays | (begins[:, t] < begin)
        first[:, t] = torch.where(stays, first[:, t - 1], t)
    return inside, first


@pytest.mark.parametrize("fraction", [0.05, 0.5, 0.9])
@pytest.mark.parametrize("span_length", [1.5, 3.0, 40.0])
def test_spans_are_those_of_the_chain(fraction, span_length):
    """All positions at once give what the definition gives one after another."""
    numbers = torch.rand(2, 50, 70, generator=torch.Generator().manual_seed(0))
    inside, first = spans(*numbers, fraction, span_length)
    expected_inside, expected_first = chain(*numbers, fraction, span_length)
    assert torch.equal(inside, expected_inside) and inside.any()
    assert torch.equal(first[inside], expected_first[inside])
