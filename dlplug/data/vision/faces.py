"""Faces: 200 crops of 25 x 25 pixels, half of them faces, from scikit-image."""

import numpy as np
import torch
from torch import Tensor

from dlplug.data.images import image_input
from dlplug.data.labelled import LabelledData
from dlplug.data.spec import DataSpec
from dlplug.errors import DataError

# Mean and standard deviation of all pixels, in [0, 1]. Constants, so that `predict` needs no
# training data.
MEAN, STD = 0.377, 0.273


class Faces(LabelledData):
    """100 faces and 100 other crops of the same photographs; batches ``(B, 1, 25, 25)`` float32.

    A subset of Labelled Faces in the Wild (Huang et al. 2007). It is small: one of the 40 test
    images is 2.5 % of the accuracy. Arguments as for `SplitData`.
    """

    data_spec = DataSpec(
        in_channels=1,
        image_size=25,
        num_features=25 * 25,
        num_classes=2,
        class_names=("other", "face"),
    )

    def read(self) -> tuple[Tensor, Tensor]:
        """All 200 crops, and whether each is a face.

        Raises:
            DataError: scikit-image is not installed.
        """
        try:
            from skimage.data import lfw_subset
        except ImportError as error:
            raise DataError(
                "data faces needs the package scikit-image, which is not installed",
                fix="pip install 'dlplug[examples]'",
            ) from error
        pixels = lfw_subset()
        # The faces come first.
        return self.prepare_input(pixels), (torch.arange(len(pixels)) < 100).long()

    def prepare_input(self, array: np.ndarray) -> Tensor:
        """Pixels 0 ... 1 of any of the shapes 25 x 25 or 625, one or many, standardised."""
        return (image_input(array, 1, 25, "faces") - MEAN) / STD
