"""Handwritten digits: 1,797 images of 8 x 8 pixels, from scikit-learn."""

from collections.abc import Callable

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
        batch_size: Images per batch of each process.
        num_workers: Processes that read ahead; 0 reads in the training process.
        validation_fraction: Share of each digit kept for validation.
        test_fraction: Share of each digit kept for the test.
        split_seed: Which images go where; not the seed of the training.
        flatten: Give rows of 64 numbers instead of images, for architectures that take features.
        transform: Called on the inputs of every training batch.
    """

    def __init__(
        self,
        batch_size: int = 64,
        num_workers: int = 0,
        validation_fraction: float = 0.1,
        test_fraction: float = 0.2,
        split_seed: int = 0,
        flatten: bool = False,
        transform: Callable[[Tensor], Tensor] | None = None,
    ):
        super().__init__(
            batch_size, num_workers, validation_fraction, test_fraction, split_seed, transform
        )
        self.flatten = flatten

    @property
    def data_spec(self) -> DataSpec:
        """Ten classes of 64 features; of one channel and 8 pixels as well unless flattened."""
        image = {} if self.flatten else {"in_channels": 1, "image_size": 8}
        names = tuple("0123456789")
        return DataSpec(num_features=64, num_classes=10, class_names=names, **image)

    def load(self) -> tuple[Tensor, Tensor]:
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
