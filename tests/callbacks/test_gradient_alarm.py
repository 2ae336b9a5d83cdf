"""GradientAlarm: each kind of trouble, with the layer and the step."""

import lightning
import pytest
import torch
from torch import nn

from dlplug.callbacks.gradient_alarm import GradientAlarm, alarms
from dlplug.errors import InvalidValueError, RunError

BLOCKS = ["first", "middle", "last"]


def found(norms, losses=None, **arguments):
    steps = list(range(1, len(norms) + 1))
    chosen = {"vanishing": 1e-6, "exploding": 1e3} | arguments
    return alarms(BLOCKS, steps, norms, losses or [1.0] * len(norms), **chosen)


def test_sound_gradients_raise_no_alarm():
    """Of any usual size."""
    assert found([[0.1, 1.0, 10.0], [1e-3, 0.5, 2.0]]) == []


def test_nan_names_the_block_nearest_to_the_output():
    """The backward pass carries it on towards the input."""
    nan = float("nan")
    [(kind, block, text)] = found([[1.0, 1.0, 1.0], [nan, nan, 1.0]])
    assert (kind, block) == ("not finite", "middle")
    assert text == "the gradient of middle is not finite in step 2"
    [(_, block, text)] = found([[nan, nan, nan]], [nan])
    assert block == "last" and text.endswith("; the loss itself is nan")


def test_a_loss_scale_that_is_being_found_is_no_alarm():
    """Unless nothing else happens."""
    inf = float("inf")
    assert found([[1.0, 1.0, 1.0], [inf, inf, inf]], scaled=True) == []
    assert len(found([[inf, inf, inf]] * 2, scaled=True)) == 1


def test_a_loss_whose_gradient_was_taken_away_is_told():
    """As `FiniteSteps` does."""
    [(_, block, text)] = found([[0.0, 0.0, 0.0]], [float("inf")])
    assert (block, text) == ("loss", "the loss is inf in step 1")


def test_exploding_names_the_first_step_above():
    """And the norm."""
    [(kind, block, text)] = found([[1.0, 1.0, 1.0], [1.0, 5000.0, 1.0]])
    assert (kind, block) == ("exploding", "middle")
    assert text == "the gradient of middle explodes in step 2: norm 5e+03"


def test_vanishing_takes_the_whole_window():
    """One small gradient is none."""
    [(kind, block, _)] = found([[1e-9, 1.0, 1.0], [1e-8, 1.0, 1.0]])
    assert (kind, block) == ("vanishing", "first")
    assert found([[1e-9, 1.0, 1.0], [1e-3, 1.0, 1.0]]) == []
    assert found([[1e-9, 1.0, 1.0]], vanishing=0.0) == []


class Sigmoids(nn.Sequential):
    """So deep and saturated that nothing comes through."""

    def __init__(self):
        super().__init__(nn.Flatten(), nn.Linear(64, 16))
        for _ in range(12):
            self.extend([nn.Sigmoid(), nn.Linear(16, 16)])
        self.extend([nn.Sigmoid(), nn.Linear(16, 10)])


def test_a_training_is_warned_once_of_each_block(task, fit, capsys):
    """Twelve sigmoids on end: the first layers get nothing."""
    fit(task(Sigmoids()), GradientAlarm(window=2))
    lines = [line for line in capsys.readouterr().err.splitlines() if "gradient_alarm" in line]
    assert lines and len(lines) == len(set(line.split(" until ")[0] for line in lines))
    assert lines[0].startswith("gradient_alarm: the gradient of 1 vanishes until step 2: norm")
    assert "normalisation" in lines[0]


class Spoil(lightning.Callback):
    """One NaN in the fourth batch."""

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        if batch_idx == 3:
            batch[0][5, 0, 0, 0] = float("nan")


def test_it_can_stop_the_training(task, fit):
    """With an error that names layer and step."""
    with pytest.raises(
        RunError, match=r"the gradient of layers.4 is not finite in step 4"
    ) as error:
        fit(task(), Spoil(), GradientAlarm(action="stop", window=5))
    assert "optimizer.lr" in error.value.fix


def test_a_sound_training_is_left_alone(task, fit, capsys):
    """Same weights, no word."""
    plain, watched = task(), task()
    fit(plain)
    watched = task()
    fit(watched, GradientAlarm(window=1))
    assert "gradient_alarm" not in capsys.readouterr().err
    for mine, other in zip(watched.parameters(), plain.parameters(), strict=True):
        assert torch.equal(mine, other)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"action": "shout"}, "action = 'shout'"),
        ({"vanishing": 1.0}, "vanishing = 1"),
        ({"exploding": 0.0}, "exploding = 0"),
        ({"window": 0}, "window = 0"),
    ],
)
def test_values_out_of_range_are_refused(arguments, message):
    """The message holds the value."""
    with pytest.raises(InvalidValueError, match=message):
        GradientAlarm(**arguments)
