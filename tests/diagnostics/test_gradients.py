"""Finite differences against autograd: right and wrong backward passes."""

import pytest
import torch
from torch import nn

from dlplug.diagnostics.gradients import check_gradients
from dlplug.errors import ConfigError, InvalidValueError


def test_a_sound_model_is_right(experiment):
    """With dropout, whose random numbers are held."""
    found = check_gradients(experiment())
    assert found.ok and found.checked == 12 and found.worst[0].error < 1e-6
    assert found.worst[0].error >= found.worst[-1].error


class WrongSquare(torch.autograd.Function):
    """x * x whose derivative forgets the 2."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x * x

    @staticmethod
    def backward(ctx, gradient):
        return gradient * ctx.saved_tensors[0]


class Net(nn.Module):
    """A linear layer, something in between, another one."""

    def __init__(self, between):
        super().__init__()
        self.first, self.last = nn.Linear(64, 8), nn.Linear(8, 10)
        self.between = between

    def forward(self, x):
        return self.last(self.between(self.first(x.flatten(1))))


def test_a_wrong_backward_is_found(with_model):
    """In the layers before it alone, the worst first."""
    found = check_gradients(with_model(Net(WrongSquare.apply)))
    assert not found.ok
    bad = {c.parameter for c in found.worst if c.error > found.tolerance}
    assert bad == {"architecture.first.weight", "architecture.first.bias"}
    assert found.worst[0].error == pytest.approx(0.5, abs=1e-3)
    assert "a custom backward is wrong" in found.reasons[0]


def test_what_no_gradient_reaches_is_named(with_model):
    """Detached layers, and layers that take no part."""
    model = Net(torch.detach)
    model.lost = nn.Linear(2, 2)
    found = check_gradients(with_model(model))
    assert not found.ok
    assert {"architecture.first.weight", "architecture.lost.bias"} <= set(found.unreached)


def test_a_zero_gradient_is_named(with_model):
    """Behind a product with 0."""
    found = check_gradients(with_model(Net(lambda h: h * 0)))
    assert not found.ok and "architecture.first.weight" in found.zero


def test_zeros_at_the_start_are_fine(with_model):
    """A layer that starts at 0 on purpose stops no gradient: the weights are moved a little."""
    model = Net(torch.tanh)
    nn.init.zeros_(model.last.weight)
    assert check_gradients(with_model(model)).ok


def test_frozen_parameters_are_no_fault(with_model):
    """They are listed."""
    model = Net(torch.relu)
    model.first.requires_grad_(False)
    found = check_gradients(with_model(model))
    assert found.ok and found.frozen == ["architecture.first.weight", "architecture.first.bias"]


def test_a_model_that_is_float32_only_is_told(with_model):
    """As an error, if it breaks, and as a reason, if it casts."""
    with pytest.raises(ConfigError, match="cannot compute in float64"):
        check_gradients(with_model(Net(lambda h: h.float())))

    class Casts(Net):
        def forward(self, x):
            return super().forward(x).float()

    found = check_gradients(with_model(Casts(torch.tanh)))
    assert not found.ok and "the loss is float32" in found.reasons[0]


def test_values_out_of_range_are_refused():
    """The message holds them."""
    with pytest.raises(InvalidValueError, match="weights = 0"):
        check_gradients(None, weights=0)
