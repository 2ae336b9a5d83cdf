"""The counter-based random numbers of the dropout masks."""

import pytest
import torch

from dlplug.ops.fallback import philox


@pytest.mark.parametrize(
    ("seed", "row", "column", "word"),
    [
        # Known answers of Random123 1.14 for philox4x32 with 10 rounds: counter 0, key 0.
        (0, 0, 0, 0x6627E8D5),
        (0, 0, 16, 0xE169C58D),
        (0, 0, 32, 0xBC57AC4C),
        (0, 0, 48, 0x9B00DBD8),
    ],
)
def test_known_answers(seed, row, column, word):
    """The words are those of the published generator."""
    bits = philox.random_bits(torch.tensor(seed), row + 1, column + 1)
    assert bits[row, column].item() == word


def test_a_number_depends_on_its_place_alone():
    """Fewer or more rows and columns change nothing for an element."""
    seed = torch.tensor(2**62 + 12345)
    large = philox.random_bits(seed, 9, 200)
    for rows, columns in [(1, 1), (9, 63), (4, 64), (5, 65), (9, 129)]:
        assert torch.equal(philox.random_bits(seed, rows, columns), large[:rows, :columns])


def test_both_halves_of_the_seed_count():
    """Seeds that differ in one bit, low or high, give other numbers."""
    bits = [philox.random_bits(torch.tensor(s), 1, 64) for s in (0, 1, 1 << 32, 1 << 62)]
    for i, one in enumerate(bits):
        for other in bits[:i]:
            assert (one == other).sum() < 3


def test_numbers_are_uniform():
    """Each of the 32 bits is set half of the time."""
    bits = philox.random_bits(torch.tensor(7), 300, 300)
    assert bits.min() >= 0 and bits.max() < 2**32
    for bit in range(32):
        # 90,000 draws: the standard deviation of the share is 0.0017.
        assert abs((bits >> bit & 1).double().mean().item() - 0.5) < 0.01


@pytest.mark.parametrize("p", [0.0, 0.1, 0.5, 1.0])
def test_masks_keep_their_share(p):
    """keep_mask keeps 1 - p of the elements; nothing for 1, everything for 0."""
    share = philox.keep_mask(torch.tensor(5), 200, 500, p).double().mean().item()
    assert share == 1 - p if p in (0, 1) else abs(share - (1 - p)) < 0.006


def test_seeds_come_from_torch_s_generator():
    """The same manual_seed draws the same seed; two draws differ."""
    torch.manual_seed(1)
    first, second = philox.draw_seed(), philox.draw_seed()
    torch.manual_seed(1)
    assert philox.draw_seed() == first != second
