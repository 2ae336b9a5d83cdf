"""plateau: the learning rate after each epoch's metric."""

import copy

import pytest

from dlplug.errors import InvalidValueError
from dlplug.schedulers.plateau import plateau
from tests.schedulers.curves import sgd

LOSSES = [1.0, 0.9, 0.95, 0.95, 0.95, 0.95, 0.95, 0.95]
RATES = [2.0, 2.0, 2.0, 2.0, 1.0, 1.0, 1.0, 0.5]


def run(optimizer, scheduler, losses):
    seen = []
    for loss in losses:
        optimizer.step()
        scheduler.step(loss)
        seen.append(optimizer.param_groups[0]["lr"])
    return seen


def test_it_falls_when_nothing_improves():
    """After the third epoch in a row that is no better, and again after three more."""
    optimizer = sgd()
    scheduler = plateau(optimizer, monitor="val_accuracy", factor=0.5, patience=2)
    assert scheduler.monitor == "val_accuracy"
    assert run(optimizer, scheduler, LOSSES) == RATES


def test_it_continues_to_count():
    """Saved after four epochs and loaded; the metric's name is the config's."""
    optimizer = sgd()
    scheduler = plateau(optimizer, factor=0.5, patience=2)
    first = run(optimizer, scheduler, LOSSES[:4])
    states = copy.deepcopy((optimizer.state_dict(), scheduler.state_dict()))
    optimizer = sgd()
    scheduler = plateau(optimizer, monitor="val_f1", factor=0.5, patience=2)
    optimizer.load_state_dict(states[0])
    scheduler.load_state_dict(states[1])
    assert first + run(optimizer, scheduler, LOSSES[4:]) == RATES
    assert scheduler.monitor == "val_f1"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"mode": "less"}, "mode = 'less'"),
        ({"factor": 1.0}, "factor = 1.0"),
        ({"patience": -1}, "patience = -1"),
        ({"min_lr": -0.1}, "min_lr = -0.1"),
    ],
)
def test_values_out_of_range_are_refused(arguments, message):
    """The message holds the value."""
    with pytest.raises(InvalidValueError, match=message):
        plateau(sgd(), **arguments)
