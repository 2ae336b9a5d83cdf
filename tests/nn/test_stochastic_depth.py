"""Stochastic depth: whole records, the right share, and the same mean."""

import pytest
import torch

from dlplug.errors import InvalidValueError
from dlplug.nn.stochastic_depth import StochasticDepth, depth_rates, stochastic_depth


def test_a_record_is_kept_whole_or_left_out_whole():
    """Each row is 0 or the update / (1 - rate), and the share is the rate."""
    torch.manual_seed(0)
    update = torch.rand(4000, 3, 2) + 1
    found = stochastic_depth(update, 0.25)
    kept = found.flatten(1).ne(0)
    assert torch.equal(kept.all(1), kept.any(1))
    torch.testing.assert_close(found[kept.all(1)], update[kept.all(1)] / 0.75)
    # Three standard deviations of a share of 4,000 draws.
    assert abs(float(kept[:, 0].float().mean()) - 0.75) < 0.021


def test_evaluation_changes_nothing():
    """The very same tensor, and no random number is drawn; likewise at rate 0."""
    update, state = torch.rand(4, 2), torch.get_rng_state()
    assert StochasticDepth(0.5).eval()(update) is update
    assert StochasticDepth(0.0)(update) is update
    assert torch.equal(state, torch.get_rng_state())


def test_the_rates_rise_in_a_line():
    """Equation 4: the last block has the rate itself."""
    assert depth_rates(0.4, 4, "vit") == pytest.approx([0.1, 0.2, 0.3, 0.4])
    assert depth_rates(0.0, 2, "vit") == [0.0, 0.0]


@pytest.mark.parametrize("rate", [-0.1, 1.0])
def test_a_rate_out_of_range_is_refused(rate):
    """The message holds the value and where it stands; all left out, 0 / 0 gave NaN."""
    with pytest.raises(InvalidValueError, match=f"architecture vit: stochastic_depth = {rate}"):
        depth_rates(rate, 2, "vit")
    with pytest.raises(InvalidValueError, match=f"StochasticDepth: rate = {rate} is not in"):
        StochasticDepth(rate)
    for training in (True, False):
        with pytest.raises(InvalidValueError, match=f"stochastic_depth: rate = {rate} is not in"):
            stochastic_depth(torch.ones(3, 2), rate, training)
