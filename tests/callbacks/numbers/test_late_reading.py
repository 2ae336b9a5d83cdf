"""LateReading: the number as it was when it was sent."""

import pytest
import torch

from dlplug.callbacks.numbers.late_reading import LateReading


@pytest.mark.parametrize("value", [2.5, True])
@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_the_number_is_that_of_the_moment(value, device):
    """What happens to the tensor later makes no difference; it can be read twice."""
    if device == "cuda" and not torch.cuda.is_available():
        pytest.skip("needs a GPU")
    tensor = torch.tensor([value], device=device)
    reading = LateReading(tensor)
    tensor.zero_()
    assert reading.read() == value and reading.read() is not None
    assert type(reading.read()) is type(value)
