"""gradual_unfreezing: what is trained in each epoch, and at which rate."""

import lightning
import pytest
import torch
from torch import nn

from dlplug.callbacks.checkpoint import Checkpoint
from dlplug.callbacks.gradual_unfreezing import GradualUnfreezing
from dlplug.errors import InvalidValueError

SCHEDULE = {"3": 1, "[12]": 2}


class Watch(lightning.Callback):
    """Which tensors change in each epoch."""

    def __init__(self):
        self.changed = []

    def on_train_epoch_start(self, trainer, pl_module):
        self.before = {n: t.clone() for n, t in pl_module.architecture.state_dict().items()}

    def on_train_epoch_end(self, trainer, pl_module):
        after = pl_module.architecture.state_dict()
        changed = {n[0] for n, t in self.before.items() if not torch.equal(t, after[n])}
        self.changed.append("".join(sorted(changed)))


def network():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Flatten(), nn.Linear(64, 8), nn.BatchNorm1d(8), nn.Linear(8, 8), nn.Linear(8, 10)
    )


def test_parts_thaw_epoch_by_epoch(task, fit):
    """First the head, then layer 3, then the rest with its BatchNorm."""
    watch = Watch()
    fit(task(network()), GradualUnfreezing(SCHEDULE), watch, max_epochs=3)
    assert watch.changed == ["4", "34", "1234"]


def test_later_parts_have_lower_rates(task, fit):
    """A factor for each epoch of the schedule."""
    module = task(network())
    trainer = fit(module, GradualUnfreezing(SCHEDULE, lr_decay=0.5), max_epochs=1)
    rates = {
        id(p): group["lr"] for group in trainer.optimizers[0].param_groups for p in group["params"]
    }
    found = {n[:1]: rates[id(p)] for n, p in module.architecture.named_parameters()}
    assert found == pytest.approx({"1": 0.0025, "2": 0.0025, "3": 0.005, "4": 0.01})


def test_a_resumed_training_gives_the_same_weights(task, fit):
    """Two epochs and one more equal three, bit by bit."""
    whole = task(network())
    fit(whole, GradualUnfreezing(SCHEDULE, 0.5), max_epochs=3)
    keep = Checkpoint()
    fit(task(network()), GradualUnfreezing(SCHEDULE, 0.5), keep, max_epochs=2)
    again = task(network())
    path = keep.last_model_path
    fit(again, GradualUnfreezing(SCHEDULE, 0.5), Checkpoint(), max_epochs=3, ckpt_path=path)
    for name, tensor in whole.architecture.state_dict().items():
        assert torch.equal(again.architecture.state_dict()[name], tensor), name


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: GradualUnfreezing({}), "schedule = {}"),
        (lambda: GradualUnfreezing({"3": 0}), "epoch 0 for '3'"),
        (lambda: GradualUnfreezing({"3": 1}, lr_decay=0.0), "lr_decay = 0.0"),
        (lambda: GradualUnfreezing({"3": 1, "[23]": 2}), "3.weight is meant by '3' and '[23]'"),
        (lambda: GradualUnfreezing({"5": 1}), "is named '5'"),
        (lambda: GradualUnfreezing({"*": 1}), "every parameter is frozen"),
    ],
)
def test_bad_schedules_are_refused(task, fit, make, message):
    """The message holds the value."""
    with pytest.raises(InvalidValueError) as error:
        fit(task(network()), make())
    assert message in str(error.value)
