"""random_shift: every image by its own offset, exactly."""

import pytest
import torch
import torch.nn.functional as F

from dlplug.errors import InvalidValueError
from dlplug.transforms.random_shift import RandomShift, random_shift


def by_hand(image, dy, dx, fill, margin):
    padded = F.pad(image, (margin,) * 4, value=fill)
    height, width = image.shape[-2:]
    return padded[:, margin + dy : margin + dy + height, margin + dx : margin + dx + width]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.uint8])
def test_each_image_is_one_of_the_possible_shifts(dtype):
    """Every result equals a shift by hand; all offsets occur, different ones in one batch."""
    image = torch.arange(2 * 5 * 6).view(2, 5, 6).to(dtype)
    moved = random_shift(image.expand(200, -1, -1, -1), 2, fill=7)
    offsets = [(dy, dx) for dy in range(-2, 3) for dx in range(-2, 3)]
    candidates = {o: by_hand(image, *o, 7, 2) for o in offsets}
    found = [next(o for o, c in candidates.items() if torch.equal(c, m)) for m in moved]
    assert set(found) == set(offsets)
    assert moved.dtype == dtype


def test_the_global_seed_decides():
    """The same seed gives the same shifts, so a resumed training can repeat them."""
    images = torch.rand(8, 1, 6, 6)
    torch.manual_seed(3)
    first = random_shift(images, 2)
    torch.manual_seed(3)
    assert torch.equal(first, random_shift(images, 2))
    assert not torch.equal(first, random_shift(images, 2))


def test_no_shift_is_no_work():
    """max_shift 0 returns the very same images and draws no numbers."""
    images = torch.rand(2, 1, 4, 4)
    state = torch.get_rng_state()
    assert RandomShift(0)(images) is images
    assert torch.equal(state, torch.get_rng_state())


def test_a_negative_shift_is_refused():
    """The message holds the value."""
    with pytest.raises(InvalidValueError, match="max_shift = -1"):
        RandomShift(-1)
