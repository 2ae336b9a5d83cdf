"""same_shape: the shapes must be equal, the dtype is float32 or float64."""

import pytest
import torch

from dlplug.errors import ShapeError
from dlplug.losses.shapes import same_shape


def test_the_dtype_of_the_output_decides():
    """float16 becomes float32, float64 stays, and the target follows."""
    for given, raised in ((torch.float16, torch.float32), (torch.float64, torch.float64)):
        output, target = same_shape("x", torch.ones(2, dtype=given), torch.ones(2).long())
        assert output.dtype == target.dtype == raised


def test_other_shapes_are_refused():
    """Both are named."""
    with pytest.raises(ShapeError, match=r"loss x: the output is \(2,\), the target \(3,\)"):
        same_shape("x", torch.ones(2), torch.ones(3))
