"""Handwritten digits: 1,797 images of 8 x 8 pixels, from scikit-learn."""

import numpy as np
import torch
from torch import Tensor

from dlplug.data.images import image_input
from dlplug.data.labelled import LabelledData
from dlplug.data.spec import DataSpec
from dlplug.errors import DataError

# Mean and standard deviation of all pixels, in 0 ... 16. Constants, so that `predict` needs no
# training data.
MEAN, STD = 4.884, 6.017


class Digits(LabelledData):
    """1,797 digits; batches ``(B, 1, 8, 8)`` or ``(B, 64)`` float32, standardised.

    Args:
        flatten: Give rows of 64 numbers instead of images, for architectures that take features.
        loading: Arguments of `SplitData`, such as ``batch_size``.
    """

    def __init__(self, flatten: bool = False, **loading):
        super().__init__(**loading)
        self.flatten = flatten

    @property
    def data_spec(self) -> DataSpec:
        """Ten classes of 64 features; of one channel and 8 pixels as well unless flattened."""
        image = {} if self.flatten else {"in_channels": 1, "image_size": 8}
        names = tuple("0123456789")
        return DataSpec(num_features=64, num_classes=10, class_names=names, **image)

    def read(self) -> tuple[Tensor, Tensor]:
        """All 1,797 images and their digits.

        Raises:
            DataError: scikit-learn is not installed.
        """
        try:
            from sklearn.datasets import load_digits
        except ImportError as error:
            raise DataError(
                "data digits needs the package scikit-learn, which is not installed",
                fix="pip install 'dlplug[examples]'",
            ) from error
        pixels, digits = load_digits(return_X_y=True)
        return self.prepare_input(pixels), torch.from_numpy(digits).long()

    def prepare_input(self, array: np.ndarray) -> Tensor:
        """Pixels 0 ... 16 of any of the shapes 8 x 8 or 64, one or many, standardised."""
        images = (image_input(array, 1, 8, "digits") - MEAN) / STD
        return images.flatten(1) if self.flatten else images
