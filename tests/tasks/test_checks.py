"""What does not fit is told with both sides, and with what to change."""

from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch.nn import Embedding, Linear, Module

from dlplug.data.spec import DataSpec
from dlplug.errors import ConfigError, DataError
from dlplug.losses.cross_entropy import CrossEntropyLoss
from dlplug.tasks.checks import call, describe, leaves, naming_inputs, tensors
from dlplug.tasks.classification import Classification

TABLE = {"x_cont": torch.zeros(4, 3), "x_cat": torch.zeros(4, 2, dtype=torch.int64)}


def fix_for(inputs):
    message = "the architecture cannot take the data's"
    with pytest.raises(ConfigError, match=message) as error, naming_inputs(inputs):
        call(Linear(5, 2), inputs)
    return error.value.fix


@pytest.mark.parametrize("inputs", [TABLE, {"x_cat": TABLE["x_cat"]}])
def test_a_table_of_categories_can_be_made_of_numbers(inputs):
    """The fix names the argument of the data, and an architecture for categories."""
    assert "data.categories: one_hot" in fix_for(inputs)
    assert "ft_transformer" in fix_for(inputs)


def test_other_inputs_get_the_shapes_that_architectures_take():
    """Images, and a mapping of something else."""
    for inputs in (torch.zeros(4, 3, 8, 8), {"source": torch.zeros(4, 2)}):
        assert "for images (B, C, H, W)" in fix_for(inputs) and "one_hot" not in fix_for(inputs)


def test_our_own_errors_stay_as_they_are():
    """They say more."""
    with pytest.raises(DataError, match=r"^no\.png is no image$"), naming_inputs(TABLE):
        raise DataError("no.png is no image")


class Slip(Linear):
    """Uses a layer that it has not got."""

    def forward(self, x):
        """Nothing."""
        return self.lay(x)


def test_a_slip_in_forward_is_told_with_its_line():
    """In the author's code, though PyTorch raised it."""
    rows = torch.zeros(4, 5)
    with pytest.raises(ConfigError) as error, naming_inputs(rows):
        Slip(5, 2)(rows)
    assert "fails for (4, 5) float32: AttributeError: 'Slip' object" in error.value.what
    assert "test_checks.py, line " in error.value.what and "--traceback" in error.value.fix


class Doubled(Linear):
    """Converts what it gets."""

    def forward(self, x):
        """Nothing: float64 meets float32."""
        return super().forward(x.double())


class Nameless(Module):
    """Has no forward."""


class Greedy(Linear):
    """Wants more than a batch has."""

    def forward(self, x, mask):
        """Nothing."""
        return super().forward(x) * mask


class Overwriting(Linear):
    """Changes its weights while it is used."""

    def forward(self, x):
        """Nothing: a weight that needs a gradient cannot be changed in place."""
        self.weight.mul_(0.9)
        return super().forward(x)


ROWS, TOKENS = torch.zeros(4, 5), torch.zeros(4, 5, dtype=torch.int64)


@pytest.mark.parametrize(
    ("model", "inputs", "fix"),
    [
        (Doubled(5, 2), ROWS, "has another dtype than the weights"),
        (Linear(5, 2), TOKENS, "one for text tokens (B, T)"),
        (Embedding(5, 2), ROWS, "an architecture for features needs rows (B, D)"),
        (Linear(3, 2), ROWS, "an architecture for features needs rows (B, D)"),
        (Nameless(), ROWS, "define forward in it"),
        (Greedy(5, 2), ROWS, "forward take the inputs as its one argument"),
        (Overwriting(5, 2), ROWS, "an operation in place"),
    ],
)
def test_each_slip_in_forward_has_its_fix(model, inputs, fix):
    """A dtype that forward makes is none of the data's; data of another kind is no slip."""
    task = Classification(model, CrossEntropyLoss(), data_spec=DataSpec(num_classes=2))
    with pytest.raises(ConfigError) as error:
        task.check_batch((inputs, torch.zeros(4, dtype=torch.int64)))
    assert fix in error.value.fix
    is_slip = type(model) in (Doubled, Overwriting)  # the others are refused by the call itself
    assert ("test_checks.py, line " in error.value.what) == is_slip


def test_long_lists_are_described_by_their_first():
    """A message is no place for a thousand numbers; numpy's are not called like torch's dtypes."""
    rows = torch.zeros(64, 10)
    assert describe(rows.tolist()) == "((float, ... 10 in all), ... 64 in all)"
    assert describe(rows.numpy()) == "numpy.ndarray" and describe(rows.numpy()[0, 0]) == (
        "numpy.float32"
    )
    assert describe((rows, None)) == "((64, 10) float32, None)"
    assert describe(rows.to_sparse()) == "(64, 10) float32 sparse_coo"


@dataclass(frozen=True)
class Output:
    """As libraries of networks give it."""

    scores: torch.Tensor
    besides: Any = None


def test_tensors_are_found_at_any_depth():
    """In mappings, tuples, lists and dataclasses, frozen ones too; all else is passed over."""
    a, b, c = torch.zeros(1), torch.ones(1), torch.ones(2)
    found = list(tensors([{"a": a}, (Output(b, {"c": [c, "d", 5]}), None)]))
    assert [id(tensor) for tensor in found] == [id(a), id(b), id(c)]
    assert list(leaves({"d": (5, Output)})) == [5, Output] and list(tensors(5)) == []
