"""Rows of the positions that have a target."""

import pytest
import torch

from dlplug.errors import ConfigError
from dlplug.tasks.positions import with_target


def test_positions_without_a_target_are_left_out():
    """In order; all positions without a copy."""
    scores = torch.arange(24.0).view(2, 3, 4)
    target = torch.tensor([[0, -100, 1], [-100, 2, 3]])
    rows, known = with_target(scores, target)
    assert torch.equal(rows, scores[[0, 0, 1, 1], [0, 2, 1, 2]]) and known.tolist() == [0, 1, 2, 3]
    rows, _ = with_target(scores, target.clamp(min=0))
    assert rows.data_ptr() == scores.data_ptr() and rows.shape == (6, 4)


@pytest.mark.parametrize("shape", [(2, 4), (2, 5, 4), (3, 3, 4), (2, 3, 4, 1)])
def test_outputs_of_another_shape_are_described(shape):
    """With what is needed."""
    with pytest.raises(ConfigError, match="for sequences \\(2, 3\\) int64") as error:
        with_target(torch.zeros(shape), torch.zeros(2, 3, dtype=torch.int64))
    assert "scores (B, T, C) for each position" in str(error.value)
