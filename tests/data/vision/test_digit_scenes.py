"""Digits on photographs: exact masks, splits without common parts, the same in every run."""

import sys

import numpy as np
import pytest
import torch

from dlplug.data.vision.digit_scenes import (
    PHOTOGRAPHS,
    DigitScenes,
    draw_scenes,
    read_photograph,
)
from dlplug.errors import DataError, InvalidValueError


def scenes(**arguments):
    data = DigitScenes(**arguments)
    data.setup("fit")
    return data


@pytest.fixture(scope="module")
def made():
    """Made once: MNIST comes from a text file, which takes its time."""
    torch.manual_seed(0)
    return scenes(num_scenes=1000)


def test_a_mask_is_where_the_ink_is():
    """On an even background the changed pixels are the ink, and the mask half of it or more."""
    digits = np.zeros((2, 14, 14), np.float32)
    digits[0, 3:6, 3:6], digits[0, 6, 3:6], digits[1, 5:9, 7] = 1.0, 0.4, 0.8
    plain = [np.full((40, 50), 0.5, np.float32)]
    labels = np.array([3, 7])
    drawn, masks = draw_scenes(50, plain, digits, labels, np.random.RandomState(0))
    sizes = {4: 9, 8: 4}
    for scene, mask in zip(drawn, masks, strict=True):
        for value, count in sizes.items():
            assert (mask == value).sum() in (0, count, 2 * count)
        assert (mask > 0).any() and not (scene[mask > 0] == 0.5).any()
        # What is changed without belonging to the mask is the thin ink.
        assert ((scene != 0.5) & (mask == 0)).sum() in (0, 3, 6)
    assert drawn.min() >= 0 and drawn.max() <= 1


def test_it_is_the_same_in_every_run(made):
    """The split's seed decides, the global generators take no part; ink is any digit."""
    torch.manual_seed(1)
    np.random.seed(1)
    again = scenes(num_scenes=1000, by_digit=False)
    for split in ("train", "validation"):
        first, second = made.split(split), again.split(split)
        assert torch.equal(first.inputs, second.inputs)
        assert torch.equal(first.targets.clamp(max=1), second.targets)
    assert again.data_spec.class_names == ("background", "ink")


def test_splits_share_no_photograph():
    """The test backgrounds are new."""
    names = [name for group in PHOTOGRAPHS.values() for name in group]
    assert len(names) == len(set(names))


def test_classes_are_the_background_and_the_digits(made):
    """Eleven with their names; all of them occur in the masks."""
    names = made.data_spec.class_names
    assert made.data_spec.num_classes == 11 and names[:2] == ("background", "0")
    assert made.split_sizes == {"train": 700, "validation": 100, "test": 200}
    images, masks = made.split("train").__getitems__(range(700))
    assert images.shape == (700, 1, 32, 32) and masks.shape == (700, 32, 32)
    assert masks.unique().tolist() == list(range(11))


def test_the_inputs_are_standardised(made):
    """Mean and deviation of the training scenes, within what a thousand scenes vary by."""
    images = made.split("train").inputs
    assert abs(float(images.mean())) < 0.1 and abs(float(images.std()) - 1) < 0.1


def test_too_few_scenes_are_refused():
    """The message holds the number."""
    with pytest.raises(InvalidValueError, match="num_scenes = 9"):
        DigitScenes(num_scenes=9)


def test_a_missing_package_is_named(monkeypatch):
    """Without scikit-image the message says what to install."""
    monkeypatch.setitem(sys.modules, "skimage", None)
    with pytest.raises(DataError, match="data digit_scenes needs the package scikit-image"):
        read_photograph("camera")
