"""What does not fit is told with both sides, and with what to change."""

import pytest
import torch
from torch.nn import Linear
from torch.nn.functional import cross_entropy, mse_loss

from dlplug.errors import ConfigError, DataError
from dlplug.tasks.checks import call, check_loss, check_rows, naming_inputs

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


def test_a_loss_is_one_number_of_output_and_target():
    """Else both are described, or what came of them."""
    rows = torch.zeros(4, 3)
    check_loss(mse_loss, rows, rows)
    with pytest.raises(ConfigError, match=r"output \(4, 3\) float32 with the target \(5,\) int64"):
        check_loss(cross_entropy, rows, torch.zeros(5, dtype=torch.int64))
    with pytest.raises(ConfigError, match=r"gives \(4, 3\) float32 for .*\n  known: a scalar"):
        check_loss(lambda output, target: output - target, rows, rows)


class Slip(Linear):
    """Uses a layer that it has not got."""

    def forward(self, x):
        """Nothing."""
        return self.lay(x)


def test_a_slip_in_forward_is_told_with_its_line():
    """In the author's code, though PyTorch raised it; of a loss as well."""
    rows = torch.zeros(4, 5)
    with pytest.raises(ConfigError) as error, naming_inputs(rows):
        Slip(5, 2)(rows)
    assert "fails for (4, 5) float32: AttributeError: 'Slip' object" in error.value.what
    assert "test_checks.py, line " in error.value.what and "--traceback" in error.value.fix
    with pytest.raises(ConfigError, match=r"the loss fails for the output \(4, 5\) .* KeyError"):
        check_loss(lambda output, target: {}["weight"], rows, rows)


@pytest.mark.parametrize(
    ("value", "fix"),
    [(1.5, "without .item() or float()"), (torch.zeros(4), "reduce it, by mean() as a rule")],
)
def test_what_is_no_scalar_gets_its_own_fix(value, fix):
    """A number has lost its gradient, a row wants a mean."""
    with pytest.raises(ConfigError) as error:
        check_loss(lambda output, target: value, torch.zeros(4, 3), torch.zeros(4, 3))
    assert fix in error.value.fix


def test_an_output_without_the_axis_of_the_batch_gets_a_fix():
    """Whatever its number of axes."""
    for output in (torch.zeros(3), torch.zeros(3, 3)):
        with pytest.raises(ConfigError) as error:
            check_rows(output, torch.zeros(4, 5), 3, "classes")
        assert "keep the batch as the first axis" in error.value.fix
