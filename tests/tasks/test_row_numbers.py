"""Random numbers of texts: uniform, independent, and a function of each text alone."""

import torch

from dlplug.tasks.row_numbers import mixed, row_numbers

TOKENS = torch.randint(1, 300, (64, 50), generator=torch.Generator().manual_seed(0))


def split_mix(state):
    """The output for one state, in Python's own whole numbers."""
    state = (state ^ (state >> 30)) * 0xBF58476D1CE4E5B9 % 2**64
    state = (state ^ (state >> 27)) * 0x94D049BB133111EB % 2**64
    return state ^ (state >> 31)


def test_the_hash_is_that_of_split_mix():
    """In signed numbers of 64 bits, also where the product leaves their range."""
    states = [0, 1, -1, 2**63 - 1, -(2**63), 0x9E3779B97F4A7C15 - 2**64]
    found = mixed(torch.tensor(states)).tolist()
    assert [value % 2**64 for value in found] == [split_mix(s % 2**64) for s in states]


def test_neither_batch_nor_order_nor_padding_matters():
    """A text alone, among others in another order, and in a wider batch: the same numbers."""
    numbers = row_numbers(TOKENS, 3)
    assert torch.equal(row_numbers(TOKENS[5:6], 3), numbers[:, 5:6])
    assert torch.equal(row_numbers(TOKENS.flip(0), 3), numbers.flip(1))
    wide = torch.nn.functional.pad(TOKENS, (0, 9))
    assert torch.equal(row_numbers(wide, 3)[:, :, :50], numbers)


def test_another_text_has_other_numbers():
    """One token changed, or two exchanged: every number differs but for chance (2^-24 each)."""
    numbers = row_numbers(TOKENS, 2)
    changed, exchanged = TOKENS.clone(), TOKENS.clone()
    changed[:, 7] += 1
    exchanged[:, [3, 4]] = TOKENS[:, [4, 3]]
    differs = (TOKENS[:, 3] != TOKENS[:, 4])[:, None].expand(64, 50)
    assert (row_numbers(changed, 2) == numbers).sum() <= 1
    assert (row_numbers(exchanged, 2) == numbers)[:, differs].sum() <= 1


def test_they_are_uniform_and_independent():
    """Of 6,400 numbers: in [0, 1), with the moments of uniform ones, within five deviations.

    Of texts that differ little: one token after another, in a row.
    """
    tokens = torch.arange(1, 65)[:, None].expand(64, 50)
    numbers = row_numbers(tokens, 2)
    assert float(numbers.min()) >= 0 and float(numbers.max()) < 1
    centred = numbers - 0.5
    assert abs(float(centred.mean())) < 5 / (12 * 6400) ** 0.5
    assert abs(float((centred**2).mean()) - 1 / 12) < 5 / (180 * 6400) ** 0.5
    pairs = (
        (centred[0], centred[1]),  # two numbers of a position
        (centred[:, :-1], centred[:, 1:]),  # two texts
        (centred[:, :, :-1], centred[:, :, 1:]),  # two positions
    )
    for a, b in pairs:
        assert abs(float((a * b).mean())) < 5 / (12 * a.numel() ** 0.5)
