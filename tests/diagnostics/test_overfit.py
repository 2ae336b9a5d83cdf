"""Learning one batch by heart: models that can, and models that cannot, with the reason."""

import pytest
import torch
from torch import nn

from dlplug.diagnostics.overfit import check_overfit, contradictions
from dlplug.errors import InvalidValueError


def test_a_sound_model_learns_a_batch(experiment):
    """Although the config has much dropout and smoothed labels."""
    found = check_overfit(
        experiment(("architecture.dropout", "0.8"), ("loss.label_smoothing", "0.1"))
    )
    assert found.ok and found.accuracy == 1.0 and found.reasons == []
    assert found.steps < 300 and found.records == 32


class Blind(nn.Module):
    """Gives the same scores for every record."""

    def __init__(self):
        super().__init__()
        self.scores = nn.Parameter(torch.zeros(10))

    def forward(self, x):
        return self.scores.expand(len(x), -1)


def test_a_model_that_does_not_look_at_its_inputs_fails(with_model):
    """And that is the reason given."""
    found = check_overfit(with_model(Blind()), steps=60)
    assert not found.ok and found.accuracy < 1
    assert any("the same output for every record" in reason for reason in found.reasons)


class Half(nn.Module):
    """A layer that is there and takes no part."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(64, 10)
        self.lost = nn.Linear(3, 3)

    def forward(self, x):
        return self.layer(x.flatten(1).detach() * 0)


def test_parameters_that_do_not_move_are_named(with_model):
    """The ones that nothing reaches."""
    found = check_overfit(with_model(Half(), ("optimizer.weight_decay", "0")), steps=20)
    assert not found.ok
    assert any("architecture.lost.weight" in reason for reason in found.reasons)


def test_a_rate_of_nearly_nothing_fails(experiment):
    """With a word about the rate."""
    found = check_overfit(experiment(("optimizer.lr", "1e-8")), steps=20)
    assert not found.ok and "optimizer.lr may be too low" in found.reasons[0]


def test_a_rate_that_is_far_too_high_fails(experiment):
    """The loss is no number any more."""
    found = check_overfit(experiment(("optimizer", "{name: sgd, lr: 1e30}")), steps=20)
    assert not found.ok and "lower optimizer.lr" in found.reasons[0]


def test_contradictions_are_counted():
    """The same inputs with another target; the same with the same are none."""
    inputs = torch.tensor([[1.0], [1.0], [2.0], [1.0]])
    assert contradictions((inputs, torch.tensor([0, 1, 0, 0]))) == 1


@pytest.mark.parametrize("arguments", [{"steps": 5}, {"records": 0}, {"tolerance": 1.0}])
def test_values_out_of_range_are_refused(arguments):
    """The message holds them."""
    [(name, value)] = arguments.items()
    with pytest.raises(InvalidValueError, match=f"{name} = {value:g}"):
        check_overfit(None, **arguments)
