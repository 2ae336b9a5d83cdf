"""Statistics of image files."""

import numpy as np
import pytest

from dlplug.data.vision.image_records import channel_statistics
from dlplug.errors import DataError


def test_mean_and_deviation_of_each_channel():
    """Over all pixels of all files, in [0, 1]; a channel that never changes has the deviation 1."""
    pixels = np.random.RandomState(0).randint(0, 256, (5, 2, 3, 4)).astype(np.uint8)
    pixels[:, 1] = 51
    mean, std = channel_statistics(range(5), lambda i: pixels[i])
    np.testing.assert_allclose(mean, [pixels[:, 0].mean() / 255, 0.2])
    np.testing.assert_allclose(std, [pixels[:, 0].std() / 255, 1.0])


def test_no_files_are_an_error():
    """Instead of a division by zero."""
    with pytest.raises(DataError, match="no training images"):
        channel_statistics([], None)
