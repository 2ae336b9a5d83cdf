"""One class for each pixel."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from dlplug.data.spec import DataSpec
from dlplug.errors import ConfigError, DataError
from dlplug.nn.absent import IGNORED
from dlplug.tasks.checks import describe
from dlplug.tasks.output_checks import check_floating, fix_for_output
from dlplug.tasks.task import Task


class Segmentation(Task):
    """Learn the class of each pixel, from batches ``(images, masks)``.

    The architecture gives scores ``(B, C, H, W)``; the loss compares them with masks ``(B, H, W)``
    int64, in which -100 stands for a pixel without a class; the metrics compare classes
    ``(B, H, W)``. C is the data's ``num_classes``. Batches count in a logged loss by their pixels
    with a class. Arguments as for `Task`.
    """

    slot_defaults: ClassVar = {"metrics": ["mean_iou", "pixel_accuracy"]}
    num_scores: int | None = None
    """Classes of the last output that was predicted from; for data that does not know its own."""

    @classmethod
    def complete(cls, spec: DataSpec) -> DataSpec:
        """One output for each class."""
        return replace(spec, num_outputs=spec.num_classes)

    def count(self, target: Tensor) -> Tensor:
        """Pixels with a class, a scalar."""
        return (target != IGNORED).sum()

    def measured(self, output: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """The best class of each pixel, and the masks."""
        return output.argmax(dim=1), target

    def predicted(self, output: Tensor) -> Tensor:
        """The best class of each pixel, ``(B, H, W)``; uint8 up to 256 classes, else int32."""
        self.num_scores = output.shape[1]
        return output.argmax(dim=1).to(torch.uint8 if output.shape[1] <= 256 else torch.int32)

    def prediction_table(self, predictions: Tensor) -> tuple[list[str], Iterable[list]]:
        """The share of each class in the pixels of each image."""
        num_classes = self.data_spec.num_classes or self.num_scores
        names = self.data_spec.class_names or tuple(map(str, range(num_classes)))
        rows = (
            (torch.bincount(mask.flatten().long(), minlength=num_classes) / mask.numel()).tolist()
            for mask in predictions
        )
        return [f"share_{name}" for name in names], rows

    def prediction_arrays(self, predictions: Tensor) -> dict[str, np.ndarray]:
        """The class of each pixel: ``masks`` ``(N, H, W)``, or ``mask_0``, ... of several sizes."""
        if isinstance(predictions, Tensor):
            return {"masks": predictions.numpy()}
        return {f"mask_{i}": mask.cpu().numpy() for i, mask in enumerate(predictions)}

    def check_output(self, output: Any, batch: Any) -> None:
        """Scores of every class for each pixel, and masks of the same size with known classes."""
        images, masks = batch
        if not isinstance(output, Tensor) or output.ndim != 4 or len(output) != len(images):
            raise ConfigError(
                f"the architecture gives {describe(output)} for images {describe(images)}",
                known="a Segmentation task needs scores (B, C, H, W), one for each class and pixel",
                fix=fix_for_output(output)
                or "choose an architecture that gives them, such as unet",
            )
        check_floating(output, images)
        num_classes = self.data_spec.num_classes or output.shape[1]
        if output.shape[1] != num_classes:
            raise ConfigError(
                f"the architecture gives {output.shape[1]} scores for a pixel, the data has"
                f" {num_classes} classes",
                fix="leave out the number of classes: it is filled in from the data",
            )
        if not isinstance(masks, Tensor) or masks.ndim != 3 or masks.is_floating_point():
            raise DataError(
                f"a Segmentation task needs masks (B, H, W) of whole numbers, the data gives"
                f" {describe(masks)}"
            )
        if masks.shape[1:] != output.shape[2:]:
            raise ConfigError(
                f"the architecture gives scores {describe(output)} for masks {describe(masks)}",
                fix="the scores must be as high and as wide as the masks",
            )
        wrong = (masks != IGNORED) & ((masks < 0) | (masks >= num_classes))
        if wrong.any():
            raise DataError(
                f"a mask holds the class {int(masks[wrong][0])}, which is out of range",
                known=f"0 ... {num_classes - 1}, and {IGNORED} for a pixel without a class",
            )
