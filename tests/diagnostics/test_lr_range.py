"""Learning-rate range test."""

import math

import pytest
from matplotlib.image import imread

from dlplug.diagnostics.lr_range import draw_sweep, judge, lr_range_test
from dlplug.errors import InvalidValueError


def rates(count):
    return [1e-6 * 10 ** (6 * i / (count - 1)) for i in range(count)]


def test_the_suggestion_is_where_the_loss_falls_steepest():
    """Of a smooth step at 1e-3 that ends in a divergence."""
    grid = rates(101)
    losses = [
        2 - math.tanh(2 * math.log10(r / 1e-3)) + (1e3 * r**4 if r > 0.05 else 0) for r in grid
    ]
    found = judge(grid, losses)
    assert 5e-4 < found.suggestion < 2e-3
    assert found.lowest > 1e-2


@pytest.mark.parametrize("losses", [[2.0] * 50, [2 + i / 50 for i in range(50)], [math.nan] * 50])
def test_a_loss_that_never_falls_has_no_suggestion(losses):
    """Constant, rising, or no number."""
    assert judge(rates(50), losses).suggestion is None


def test_a_training_is_swept_and_drawn(experiment, tmp_path):
    """It ends at the divergence, the rate is a good one, and nothing is left but the picture."""
    found = lr_range_test(experiment(("optimizer", "sgd")), lowest=1e-4, highest=1e4, steps=60)
    assert found.ended in ("diverged", "not finite") and len(found.rates) < 60
    assert found.rates[0] == 1e-4 and 1e-3 < found.suggestion < 10
    path = draw_sweep(found, tmp_path / "lr.png", "x")
    assert imread(path).shape[1] > 700
    assert list(tmp_path.iterdir()) == [path]


def test_accumulated_batches_are_one_step(experiment):
    """One rate for each optimizer step."""
    found = lr_range_test(experiment(("trainer.accumulate_grad_batches", "2")), steps=20)
    assert len(found.rates) == 20 and found.rates[-1] == pytest.approx(1.0)


@pytest.mark.parametrize(("low", "high", "steps"), [(0, 1, 50), (1, 0.1, 50), (1e-6, 1, 5)])
def test_values_out_of_range_are_refused(low, high, steps):
    """The message holds them."""
    with pytest.raises(InvalidValueError, match=f"steps = {steps}"):
        lr_range_test(None, lowest=low, highest=high, steps=steps)
