"""Cross-entropy of class scores, with label smoothing and class weights."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dlplug.errors import DtypeError, InvalidValueError
from dlplug.nn.absent import IGNORED


def cross_entropy(
    output: Tensor, target: Tensor, label_smoothing: float = 0.0, weight: Tensor | None = None
) -> Tensor:
    """``-sum_c weight_c q_c log softmax(output)_c``, added up, over the sum of ``weight_target``.

    q = (1 - label_smoothing) * onehot(target) + label_smoothing / C. Without weights it is the mean
    over the batch. With both, what is smoothed away to a class counts with the weight of that
    class, not of the record's own, as in torch. Half-precision scores are raised to float32 first:
    a mean over thousands of terms needs more than eight bits.

    Args:
        output: Unnormalised scores, shape ``(B, C)``.
        target: Class of each record, shape ``(B,)``, int64; -100 leaves a record out. Masks of
            images do as well: scores ``(B, C, H, W)``, classes ``(B, H, W)``.
        label_smoothing: Share of the target spread over all classes, in ``[0, 1)``.
        weight: Weight of each class, shape ``(C,)``, or None for 1 each.
    Returns:
        Scalar, float32 (float64 for float64 scores); 0, with a gradient of 0, where every record
        is left out or has the weight 0.
    Raises:
        DtypeError: the targets are no whole numbers; torch would take them as probabilities, and
            give 0 for one column of them, whatever the scores are.
    References: Szegedy et al. 2016, arXiv:1512.00567, section 7 (label smoothing).
    """
    if target.is_floating_point():
        raise DtypeError(
            f"loss cross_entropy: the target is {tuple(target.shape)} {target.dtype}; it needs"
            " classes, int64"
        )
    scores = output if output.dtype == torch.float64 else output.float()
    is_known = target != IGNORED
    # torch divides 0 by 0 where nothing is to be predicted, and NaN would end the training.
    if weight is None:
        loss = F.cross_entropy(scores, target, label_smoothing=label_smoothing)
        return loss.where(is_known.any(), 0.0)
    weight = weight.to(scores.dtype)
    loss = F.cross_entropy(
        scores, target, weight=weight, label_smoothing=label_smoothing, reduction="sum"
    )
    total = total_weight(weight, target)
    return loss * (1 / total).where(total > 0, 0.0)


def total_weight(weight: Tensor, target: Tensor) -> Tensor:
    """Weights ``(C,)`` of the classes of all targets but -100, added up."""
    is_known = target != IGNORED
    return (weight[target.where(is_known, 0)] * is_known).sum()


class CrossEntropyLoss(nn.Module):
    """`cross_entropy` as a module.

    Args:
        label_smoothing: Share of the target spread over all classes, in ``[0, 1)``.
        class_weights: Weight of each class in the order of the labels, or None for 1; the loss of a
            batch is divided by the weights of its records' classes.
    Raises:
        InvalidValueError: a value out of range.
    """

    def __init__(self, label_smoothing: float = 0.0, class_weights: Sequence[float] | None = None):
        super().__init__()
        if not 0 <= label_smoothing < 1:
            raise InvalidValueError(f"loss: label_smoothing = {label_smoothing} is not in [0, 1)")
        self.label_smoothing = label_smoothing
        self.register_buffer("weight", class_weight_tensor("class_weights", class_weights))

    def forward(self, output: Tensor, target: Tensor) -> Tensor:
        """See `cross_entropy`."""
        return cross_entropy(output, target, self.label_smoothing, self.weight)

    def weight_of(self, target: Tensor) -> Tensor | None:
        """By what the loss of a batch is divided, a scalar; None where it is the number of targets.

        A task counts the batch by it, so that the loss of an epoch is that of all its records.
        """
        return None if self.weight is None else total_weight(self.weight, target)


def class_weight_tensor(name: str, weights: Sequence[float] | None) -> Tensor | None:
    """One non-negative weight per class as a tensor ``(C,)``, or None."""
    if weights is None:
        return None
    if not all(w >= 0 for w in weights) or not any(weights):
        raise InvalidValueError(
            f"loss: {name} = {list(weights)} are not weights of 0 or more, one of them above 0"
        )
    return torch.tensor(weights, dtype=torch.float32)
