"""The names that the family offers."""

import pytest
import torch
from dlplug_example_hooks.family import dlplug_components


def classes(kind):
    """Offered name -> class."""
    found = {}
    for offer in dlplug_components(kind):
        module, _, name = offer.target.partition(":")
        assert module in ("torch.optim", "torch.optim.lr_scheduler", "torch.nn")
        home = {"torch.nn": torch.nn, "torch.optim": torch.optim}.get(
            module, torch.optim.lr_scheduler
        )
        found[offer.name] = getattr(home, name)
    return found


def test_every_optimizer_can_be_built():
    """Parameters alone are enough for each of them."""
    optimizers = classes("optimizers")
    assert {"torch.RMSprop", "torch.SGD", "torch.RAdam"} <= optimizers.keys()
    for optimizer in optimizers.values():
        optimizer([torch.nn.Parameter(torch.zeros(2, 2))])


def test_the_abstract_classes_are_left_out():
    """Nobody can train with ``Optimizer`` or ``LRScheduler``."""
    assert "torch.Optimizer" not in classes("optimizers")
    assert not {"torch.LRScheduler", "torch._LRScheduler"} & classes("schedulers").keys()


def test_schedulers_that_a_config_can_write():
    """Those that need a function, a scheduler or a metric are left out."""
    schedulers = classes("schedulers")
    assert {"torch.StepLR", "torch.CosineAnnealingLR", "torch.OneCycleLR"} <= schedulers.keys()
    assert not {"torch.LambdaLR", "torch.SequentialLR", "torch.ReduceLROnPlateau"} & set(schedulers)


@pytest.mark.parametrize("name", sorted(classes("losses")))
def test_every_loss_takes_an_output_and_a_target(name):
    """Each can be built without arguments, and has no parameters of its own."""
    assert list(classes("losses")[name]().parameters()) == []


def test_losses_of_another_form_are_left_out():
    """A triplet, a sequence of labels with lengths, or a learned head is no such loss."""
    losses = classes("losses")
    assert {"torch.HuberLoss", "torch.MultiMarginLoss"} <= losses.keys()
    assert not {"torch.TripletMarginLoss", "torch.CTCLoss"} & losses.keys()


def test_other_kinds_are_not_served():
    """None, which stands for no names."""
    assert dlplug_components("callbacks") is None
