"""mixup: mixtures of pairs, and both targets."""

import pytest
import torch

from dlplug.errors import InvalidValueError
from dlplug.transforms.mixed import Mixed
from dlplug.transforms.mixup import Mixup, draw_share


def test_inputs_and_targets_are_mixed_alike():
    """With inputs equal to their targets, the mixture is that of the targets."""
    torch.manual_seed(0)
    targets = torch.arange(8.0)
    mixture, mixed = Mixup(1.0)(targets.view(8, 1, 1, 1), targets)
    assert isinstance(mixed, Mixed) and torch.equal(mixed.first, targets)
    assert sorted(mixed.second.tolist()) == targets.tolist() and 0 < mixed.share < 1
    expected = mixed.share * mixed.first + (1 - mixed.share) * mixed.second
    torch.testing.assert_close(mixture.flatten(), expected)


@pytest.mark.parametrize("alpha", [0.2, 1.0, 4.0])
def test_shares_are_beta_distributed(alpha):
    """Mean 1/2 and variance 1 / (4 (2 alpha + 1)), within four standard errors."""
    torch.manual_seed(0)
    shares = torch.tensor([draw_share(alpha) for _ in range(2000)])
    variance = 1 / (4 * (2 * alpha + 1))
    assert abs(float(shares.mean()) - 0.5) < 4 * (variance / 2000) ** 0.5
    assert float(shares.var()) == pytest.approx(variance, rel=0.13)


def test_a_tiny_alpha_takes_one_of_the_two():
    """By chance, where neither draw is as large as float64's smallest numbers."""
    torch.manual_seed(0)
    shares = [draw_share(1e-6) for _ in range(200)]
    assert set(shares) == {0.0, 1.0} and 70 < sum(shares) < 130


def test_a_batch_may_be_left_alone():
    """With probability 0 nothing is mixed."""
    inputs, targets = torch.rand(4, 3), torch.zeros(4)
    assert Mixup(probability=0.0)(inputs, targets) == (inputs, targets)


@pytest.mark.parametrize(
    "arguments", [{"alpha": 0.0}, {"alpha": float("inf")}, {"probability": 1.5}]
)
def test_values_out_of_range_are_refused(arguments):
    """The message names the transform and both values."""
    with pytest.raises(InvalidValueError, match=r"mixup: alpha = .*, probability = "):
        Mixup(**arguments)


def test_every_part_of_a_mapping_is_mixed_alike():
    """Numbers of a mapping or a tuple, with one share and the same partners."""
    torch.manual_seed(0)
    targets = torch.arange(8.0)
    for inputs in ({"a": targets[:, None], "b": -targets}, (targets[:, None], -targets)):
        mixture, mixed = Mixup(1.0)(inputs, targets)
        assert type(mixture) is type(inputs)
        first, second = mixture.values() if isinstance(mixture, dict) else mixture
        expected = mixed.share * mixed.first + (1 - mixed.share) * mixed.second
        torch.testing.assert_close(first[:, 0], expected)
        torch.testing.assert_close(second, -expected)


def test_a_category_is_the_record_s_own_or_its_partner_s():
    """Each cell by itself, its own as often as the share says."""
    torch.manual_seed(0)
    rows = torch.arange(2000)
    table = {"x_cont": rows[:, None].float(), "x_cat": rows[:, None].expand(-1, 5)}
    mixture, mixed = Mixup(4.0)(table, rows)
    categories = mixture["x_cat"]
    is_own = categories == mixed.first[:, None]
    assert categories.dtype == torch.int64
    # Some records are their own partners.
    assert torch.all(is_own | (categories == mixed.second[:, None]))
    # Four standard errors of 10,000 cells.
    assert abs(float(is_own.float().mean()) - mixed.share) < 0.02
    assert is_own.any(dim=1).float().mean() > is_own.all(dim=1).float().mean() + 0.1


TOKENS = torch.ones(4, 6, dtype=torch.int64)


@pytest.mark.parametrize(
    ("inputs", "what"),
    [
        (TOKENS, r"the inputs \(4, 6\) int64"),
        ({"source": TOKENS, "target": TOKENS}, r"input source \(4, 6\) int64"),
        ({"x_cat": TOKENS}, r"input x_cat \(4, 6\) int64"),
        ({"x": torch.rand(4, 6, 2), "lengths": TOKENS[:, 0]}, r"input lengths \(4,\) int64"),
        ((torch.rand(4, 6), TOKENS), r"input 1 \(4, 6\) int64"),
    ],
)
def test_whole_numbers_are_refused(inputs, what):
    """Whatever is drawn: with probability 0 too."""
    with pytest.raises(InvalidValueError, match=f"mixup: {what} cannot be mixed"):
        Mixup(probability=0.0)(inputs, torch.zeros(4))


def test_targets_of_positions_are_refused():
    """Each position's output would be compared with two labels."""
    with pytest.raises(InvalidValueError, match=r"mixup: targets \(4, 6\) of each position"):
        Mixup(probability=0.0)(torch.rand(4, 6, 2), TOKENS)
