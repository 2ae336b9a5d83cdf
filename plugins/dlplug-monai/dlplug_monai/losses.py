"""MONAI's losses of overlap for masks of classes."""

from collections.abc import Sequence

import torch
from monai.losses import DiceCELoss, DiceLoss, TverskyLoss
from torch import Tensor, nn

from dlplug.nn.absent import IGNORED

# Decided by the task: masks hold the numbers of classes that exclude each other.
FIXED = {"to_onehot_y": True, "softmax": True}


class OfMasks(nn.Module):
    """A loss of MONAI on dlplug's masks; pixels with the target -100 take no part.

    Args:
        loss: Compares scores ``(B, C, ...)`` with classes ``(B, 1, ...)``.
    """

    def __init__(self, loss: nn.Module):
        super().__init__()
        self.loss = loss
        # In DiceCELoss the cross-entropy leaves -100 out anyway; the Dice loss within has to be
        # told, and the constructor passes no ignore_index on (MONAI 1.6).
        for part in loss.modules():
            if isinstance(part, (DiceLoss, TverskyLoss)):
                part.ignore_index = IGNORED

    def forward(self, output: Tensor, target: Tensor) -> Tensor:
        """Scalar, at least float32, of scores ``(B, C, ...)`` and classes ``(B, ...)`` int64."""
        scores = output if output.element_size() > 4 else output.float()
        return self.loss(scores, target.unsqueeze(1))


class MonaiDice(OfMasks):
    """One minus the overlap of soft regions: Milletari et al. 2016, arXiv:1606.04797.

    Args:
        include_background: Whether class 0 counts.
        squared_pred: Square probabilities and targets in the denominator.
        jaccard: Divide by the union, not by the sum of the sizes.
        smooth_nr: Added above, in pixels; > 0 spares a class that an image lacks.
        smooth_dr: Added below, in pixels.
        batch: Sum over the images of a batch first, then divide.
        weight: Of each class that counts; None for equal ones.
    Raises:
        ValueError: the weights are not as many as the classes, or below 0.
    """

    def __init__(
        self,
        include_background: bool = True,
        squared_pred: bool = False,
        jaccard: bool = False,
        smooth_nr: float = 1e-5,
        smooth_dr: float = 1e-5,
        batch: bool = False,
        weight: Sequence[float] | None = None,
    ):
        super().__init__(
            DiceLoss(
                include_background=include_background,
                squared_pred=squared_pred,
                jaccard=jaccard,
                smooth_nr=smooth_nr,
                smooth_dr=smooth_dr,
                batch=batch,
                weight=as_tensor(weight),
                **FIXED,
            )
        )


class MonaiDiceCE(OfMasks):
    """Dice loss and cross-entropy together, each with a weight.

    Args:
        include_background: Whether class 0 counts in the Dice loss.
        squared_pred, jaccard, smooth_nr, smooth_dr, batch: See `MonaiDice`.
        weight: Of each class, in both; None for equal ones.
        lambda_dice: Weight of the Dice loss, >= 0.
        lambda_ce: Weight of the cross-entropy, >= 0.
        label_smoothing: Share of the target spread over all classes, in the cross-entropy.
    Raises:
        ValueError: a value out of range.
    """

    def __init__(
        self,
        include_background: bool = True,
        squared_pred: bool = False,
        jaccard: bool = False,
        smooth_nr: float = 1e-5,
        smooth_dr: float = 1e-5,
        batch: bool = False,
        weight: Sequence[float] | None = None,
        lambda_dice: float = 1.0,
        lambda_ce: float = 1.0,
        label_smoothing: float = 0.0,
    ):
        super().__init__(
            DiceCELoss(
                include_background=include_background,
                squared_pred=squared_pred,
                jaccard=jaccard,
                smooth_nr=smooth_nr,
                smooth_dr=smooth_dr,
                batch=batch,
                weight=as_tensor(weight),
                lambda_dice=lambda_dice,
                lambda_ce=lambda_ce,
                label_smoothing=label_smoothing,
                **FIXED,
            )
        )


class MonaiTversky(OfMasks):
    """Overlap that weighs false positives and negatives: Salehi et al. 2017, arXiv:1706.05721.

    Args:
        include_background: Whether class 0 counts.
        alpha: Weight of the false positives; both at 0.5 are the Dice loss.
        beta: Weight of the false negatives.
        smooth_nr, smooth_dr, batch: See `MonaiDice`.
    """

    def __init__(
        self,
        include_background: bool = True,
        alpha: float = 0.5,
        beta: float = 0.5,
        smooth_nr: float = 1e-5,
        smooth_dr: float = 1e-5,
        batch: bool = False,
    ):
        super().__init__(
            TverskyLoss(
                include_background=include_background,
                alpha=alpha,
                beta=beta,
                smooth_nr=smooth_nr,
                smooth_dr=smooth_dr,
                batch=batch,
                **FIXED,
            )
        )


def as_tensor(weight: Sequence[float] | None) -> Tensor | None:
    """Weights of classes as MONAI takes them."""
    return None if weight is None else torch.tensor(list(weight), dtype=torch.float32)
