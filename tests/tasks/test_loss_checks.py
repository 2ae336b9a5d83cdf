"""A loss is one real number of output and target; else its author is told where and what."""

import functools

import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy, mse_loss, one_hot

from dlplug.errors import ConfigError
from dlplug.losses.cross_entropy import CrossEntropyLoss
from dlplug.losses.mse import MSELoss
from dlplug.tasks.loss_checks import check_loss, place_of_loss

ROWS, CLASSES = torch.zeros(4, 3), torch.zeros(4, dtype=torch.int64)


def refused(loss, output=ROWS, target=CLASSES):
    with pytest.raises(ConfigError) as error:
        check_loss(loss, output, target, loss)
    return error.value


def test_a_loss_is_one_number_of_output_and_target():
    """Else both are described, or what came of them."""
    rows = torch.zeros(4, 3)
    assert check_loss(mse_loss, rows, rows) == 0
    with pytest.raises(ConfigError, match=r"output \(4, 3\) float32 with the target \(5,\) int64"):
        check_loss(cross_entropy, rows, torch.zeros(5, dtype=torch.int64))
    with pytest.raises(ConfigError, match=r"gives \(4, 3\) float32 for .*\n  known: a scalar"):
        check_loss(lambda output, target: output - target, rows, rows)
    with pytest.raises(ConfigError, match=r"the loss fails for the output \(4, 3\) .* KeyError"):
        check_loss(lambda output, target: {}["weight"], rows, rows)


@pytest.mark.parametrize(
    ("value", "told", "fix"),
    [
        (1.5, "gives float", "without .item() or float()"),
        (torch.zeros(4).tolist(), "gives (float, float,", ".tolist()"),
        (torch.zeros(1).numpy()[0], "gives numpy.float32", ".numpy()"),
        (None, "gives None", "end it with 'return'"),
        ((torch.zeros(()), {}), "gives (() float32, {})", "and nothing beside it"),
        (object(), "gives object", "return a tensor"),
        (torch.zeros(4), "gives (4,) float32", "reduce it, by mean() as a rule"),
        (torch.tensor(3), "gives () int64", "by differentiable operations"),
        (torch.tensor(True), "gives () bool", "by differentiable operations"),
        (torch.tensor(1j), "gives () complex64", "loss.abs(), or loss.real"),
    ],
)
def test_what_is_no_real_number_gets_its_own_fix(value, told, fix):
    """A number has lost its gradient, a row wants a mean."""
    error = refused(lambda output, target: value)
    assert told in error.what and fix in error.fix
    assert "test_loss_checks.py, line " in error.where


class Swapped(nn.Module):
    """Takes the target first."""

    def forward(self, target, output):
        """Cross-entropy."""
        return cross_entropy(output, target)


def swapped_labels(target, output):
    """Takes the target first, and says it by another exception."""
    return (one_hot(target, 3) * output).mean()


@pytest.mark.parametrize("loss", [Swapped(), swapped_labels, functools.partial(swapped_labels)])
def test_a_loss_in_the_other_order_is_told(loss):
    """With the line that failed, the loss's own place, and the order."""
    error = refused(loss)
    assert "test_loss_checks.py, line " in error.what
    assert error.where.startswith(("loss Swapped, ", "loss swapped_labels, "))
    assert error.known == "a loss is called with the output first, then the target"
    assert error.fix == "swap its arguments, which are (target, output)"


class Silent(nn.Module):
    """Has no forward."""


@pytest.mark.parametrize(
    ("loss", "fix"),
    [
        (lambda output: output.mean(), "let it take these two alone"),
        (lambda output, target: cross_entropy(output[:2], target), "correct that line, or choose"),
        (lambda output, target: {}["weight"], "correct that line"),
        (Silent(), "define forward in it"),
    ],
)
def test_what_fails_inside_of_a_loss_is_its_authors(loss, fix):
    """Its name and file, the order of the arguments, and what to do."""
    error = refused(loss)
    assert error.where.startswith("loss ") and "test_loss_checks.py" in error.where
    assert error.known == "a loss is called with the output first, then the target"
    assert error.fix.startswith(fix)


def test_a_target_of_another_kind_is_no_wrong_signature():
    """PyTorch speaks of arguments where it means what they are."""
    error = refused(cross_entropy, target={"labels": CLASSES})
    assert "take these two" not in error.fix and error.fix.startswith("choose a loss")


def test_our_own_losses_need_no_place():
    """The config's sides are told instead, and what to choose."""
    for loss in (CrossEntropyLoss(), nn.MSELoss(), mse_loss):
        assert place_of_loss(loss) is None
    error = refused(MSELoss())
    assert error.what.startswith("the loss cannot compare the output") and error.where is None
    assert error.known is None and error.fix.startswith("choose a loss for this task")


def minus(output, target):
    """Changes the target."""
    target -= 1
    return output.mean()


def shifted(output, target):
    """Changes the output."""
    return output.sub_(1).mean()


@pytest.mark.parametrize(("loss", "name"), [(minus, "target"), (shifted, "output")])
def test_a_loss_leaves_both_sides_as_they_are(loss, name):
    """The metrics get them after it."""
    error = refused(loss, ROWS.clone(), CLASSES.clone())
    assert f"the loss changes the {name} in place" in error.what and f"{name}.clone()" in error.fix
