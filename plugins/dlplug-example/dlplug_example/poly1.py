"""Poly-1: cross-entropy with a free coefficient on the first term of its expansion."""

import torch
from torch import Tensor
from torch.nn import functional


def poly1_cross_entropy(
    output: Tensor, target: Tensor, epsilon: float = 1.0, label_smoothing: float = 0.0
) -> Tensor:
    """Cross-entropy plus ``epsilon`` times the probability that is missing from the right class.

    L = -log p_t + epsilon (1 - p_t), mean over the batch. Cross-entropy is the series of
    (1 - p_t)^j / j; its first term rules the gradient where p_t is near 1, and gets a weight here.

    Args:
        output: Scores, shape ``(B, C)``, floating.
        target: Classes, shape ``(B,)``, int64.
        epsilon: Weight of the extra term, >= -1; 0 is cross-entropy.
        label_smoothing: Share of the target spread over all classes, in [0, 1].
    Returns:
        Scalar.
    Raises:
        ValueError: ``epsilon`` or ``label_smoothing`` is out of range.
    References: Leng et al. 2022, "PolyLoss", arXiv:2204.12511, eq. 5 and appendix (smoothing).
    """
    if epsilon < -1:
        raise ValueError(f"epsilon = {epsilon}: below -1 the loss rewards wrong answers")
    if not 0 <= label_smoothing <= 1:
        raise ValueError(f"label_smoothing = {label_smoothing}: must be in [0, 1]")
    cross_entropy = functional.cross_entropy(output, target, label_smoothing=label_smoothing)
    right = torch.softmax(output, dim=-1).gather(-1, target[:, None]).mean()
    # sum(q (1 - p)) with the smoothed target q; the probabilities of all classes add up to 1.
    missing = 1 - (1 - label_smoothing) * right - label_smoothing / output.shape[-1]
    return cross_entropy + epsilon * missing
