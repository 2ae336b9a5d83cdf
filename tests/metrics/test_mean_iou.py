"""Mean IoU: counted over the pixels of all images."""

import pytest
import torch

from dlplug.metrics.mean_iou import MeanIoU

# Class 3 neither occurs nor is predicted; the pixel of -100 does not count.
TRUE = torch.tensor([[[0, 0, 1], [1, 2, -100]], [[0, 0, 0], [0, 2, 2]]])
FOUND = torch.tensor([[[0, 1, 1], [1, 2, 0]], [[0, 0, 0], [2, 2, 2]]])


def regions():
    """Found and true pixels of each class."""
    known = TRUE != -100
    return [((c == FOUND) & known, (c == TRUE) & known) for c in range(3)]


def test_it_counts_all_pixels_of_all_images():
    """Mean over the classes of intersection / union, by hand; class 3 is left out."""
    metric = MeanIoU(4)
    for found, true in zip(FOUND, TRUE, strict=True):
        metric.update(found[None], true[None])
    expected = sum((f & t).sum() / (f | t).sum() for f, t in regions()) / 3
    assert float(metric.compute()) == pytest.approx(float(expected))
