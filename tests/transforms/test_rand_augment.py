"""rand_augment: operations are drawn for each image."""

import pytest
import torch

from dlplug.errors import InvalidValueError
from dlplug.transforms.image_operations import OPERATIONS
from dlplug.transforms.rand_augment import RandAugment


def test_each_image_gets_one_operation_in_one_direction():
    """Every result equals one operation at plus or minus the magnitude; nearly all occur."""
    torch.manual_seed(0)
    image = torch.randn(1, 3, 6, 8)
    moved = RandAugment(1, 5)(image.expand(300, -1, -1, -1))
    candidates = {
        (name, sign): operation(image, torch.tensor([0.5 * sign]))[0]
        for name, operation in OPERATIONS.items()
        for sign in (-1, 1)
    }
    found = {
        next(key for key, c in candidates.items() if torch.allclose(c, m, atol=1e-5)) for m in moved
    }
    # Identity, auto_contrast, solarize and posterize are the same in both directions.
    assert len(found) == 2 * len(OPERATIONS) - 4


def test_the_outside_has_the_fill():
    """A shift to the side brings in the given value."""
    images = torch.full((4, 1, 8, 8), 3.0)
    moved = RandAugment(1, 10, ["translate_x"], fill=-7.0)(images)
    assert {-7.0, 3.0} <= set(moved.flatten().tolist())


def test_the_global_seed_decides():
    """The same seed gives the same images."""
    images = torch.randn(8, 3, 6, 6)
    torch.manual_seed(3)
    first = RandAugment()(images)
    torch.manual_seed(3)
    assert torch.equal(first, RandAugment()(images))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_operations": 0}, "num_operations = 0"),
        ({"magnitude": 11.0}, "magnitude = 11.0"),
        ({"operations": []}, r"operations = \[\]"),
        ({"operations": ["rotat"]}, "no 'rotat'"),
    ],
)
def test_values_out_of_range_are_refused(arguments, message):
    """The message holds the value, and the nearest name."""
    with pytest.raises(InvalidValueError, match=message) as error:
        RandAugment(**arguments)
    assert arguments.get("operations") != ["rotat"] or "did you mean 'rotate'" in str(error.value)
