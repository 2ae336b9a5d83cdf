"""Outputs that nothing can be learned from are told with what to return instead."""

import pytest
import torch
from torch import nn

from dlplug.data.spec import DataSpec
from dlplug.errors import ConfigError
from dlplug.losses.cross_entropy import cross_entropy
from dlplug.losses.mse import mse
from dlplug.tasks.forecasting import Forecasting
from dlplug.tasks.output_checks import check_rows, fix_for_output
from dlplug.tasks.positions import check_positions
from dlplug.tasks.segmentation import Segmentation

ROWS = torch.zeros(4, 3)


@pytest.mark.parametrize("output", [torch.zeros(3), torch.zeros(3, 3)])
def test_an_output_without_the_axis_of_the_batch_gets_a_fix(output):
    """Whatever its number of axes."""
    with pytest.raises(ConfigError) as error:
        check_rows(output, torch.zeros(4, 5), 3, "classes")
    assert "keep the batch as the first axis" in error.value.fix


@pytest.mark.parametrize(
    ("output", "told", "fix"),
    [
        (ROWS.long(), "gives (4, 3) int64", "argmax, rounding and comparisons have no gradient"),
        (ROWS > 0, "gives (4, 3) bool", "argmax, rounding and comparisons have no gradient"),
        (ROWS.to(torch.complex64), "gives (4, 3) complex64", "output.abs(), or output.real"),
        (ROWS.to_sparse(), "gives (4, 3) float32 sparse_coo", "output.to_dense()"),
        (None, "gives None", "end forward with 'return'"),
        (ROWS.tolist(), "gives ((float, float, float),", "without .item() or float(), .tolist()"),
        (ROWS.numpy(), "gives numpy.ndarray", ".numpy()"),
        (object(), "gives object", "let forward return a tensor"),
        ((ROWS, ROWS), "gives ((4, 3) float32, (4, 3) float32)", "one tensor, the scores alone"),
        ({"logits": ROWS}, "gives {logits: (4, 3) float32}", "one tensor, the scores alone"),
    ],
)
def test_what_is_no_row_of_scores_gets_its_own_fix(output, told, fix):
    """By what the network gave; the batch's axis is spoken of where a tensor lacks it."""
    with pytest.raises(ConfigError) as error:
        check_rows(output, torch.zeros(4, 5), 3, "classes")
    assert told in error.value.what and fix in error.value.fix
    assert "first axis" not in error.value.fix


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_scores_of_every_precision_pass(dtype):
    """And parts are looked into: what holds a tensor may be what a task wants."""
    check_rows(ROWS.to(dtype), torch.zeros(4, 5), 3, "classes")
    assert fix_for_output((ROWS, None)) is None and fix_for_output({"a": [ROWS]}) is None


def test_every_task_asks_for_real_numbers():
    """Positions, pixels and steps ahead as well as rows."""
    whole = r"gives .* int64"
    with pytest.raises(ConfigError, match=whole):
        check_positions(torch.zeros(2, 3, 4).long(), torch.zeros(2, 3).long())
    images, masks = torch.zeros(2, 1, 4, 4), torch.zeros(2, 4, 4).long()
    pixels = Segmentation(nn.Identity(), cross_entropy, data_spec=DataSpec(num_classes=3))
    with pytest.raises(ConfigError, match=whole):
        pixels.check_output(torch.zeros(2, 3, 4, 4).long(), (images, masks))

    class Whole(nn.Module):
        """Gives whole numbers."""

        def forward(self, x):
            """Zeros."""
            return torch.zeros(len(x), 4).long()

    spec = DataSpec(num_targets=2, horizon=2, num_features=3, sequence_length=5)
    steps = Forecasting(Whole(), mse, data_spec=spec)
    with pytest.raises(ConfigError, match=whole):
        steps(torch.zeros(1, 5, 3))
