"""Tasks for networks that hold an ensemble: k outputs for each record.

Each member is trained by a loss of its own; what is measured and predicted is what they say
together. Lettering: B records, k members, C outputs of a member.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from dlplug.errors import ConfigError
from dlplug.tasks.classification import Classification
from dlplug.tasks.regression import Regression


class MemberLoss(nn.Module):
    """The mean of the members' losses.

    Args:
        loss: ``loss(output, target)`` of one network, a mean over records.
    """

    def __init__(self, loss: Callable):
        super().__init__()
        self.loss = loss

    def forward(self, output_BkC: Tensor, target: Tensor) -> Tensor:
        """Scalar; ``target`` as for one network, ``(B, ...)``."""
        k = output_BkC.shape[1]
        # As many records for each member: the mean over all of them is the mean of the means.
        return self.loss(output_BkC.flatten(0, 1), target.repeat_interleave(k, dim=0))

    def weight_of(self, target: Tensor) -> Tensor | None:
        """That of the loss, where it says one: members have the same targets."""
        weight_of = getattr(self.loss, "weight_of", None)
        return None if weight_of is None else weight_of(target)


class EnsembleClassification(Classification):
    """Learn the class of each record by an ensemble, from batches ``(inputs, labels)``.

    The architecture, such as ``tabm``, gives scores ``(B, k, C)``. The loss is the mean of the k
    losses; metrics and predictions are of the mean of the k probabilities.

    Args:
        architecture: Gives ``(B, k, C)``.
        loss: ``loss(scores (N, C), labels (N,))``, a mean over records.
        slots: Arguments of `Task`.
    """

    def __init__(self, architecture: nn.Module, loss: Callable, **slots):
        super().__init__(architecture, MemberLoss(loss), **slots)

    def measured(self, output: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """Probabilities ``(B, C)`` and labels ``(B,)``."""
        return super().measured(joint_scores(output), target)

    def predicted(self, output: Tensor) -> Tensor:
        """Probabilities ``(B, C)``."""
        return super().predicted(joint_scores(output))

    def check_output(self, output: Any, batch: Any) -> None:
        """Scores of each class by each member, and labels within range."""
        check_members(output, "classification")
        super().check_output(joint_scores(output), batch)


class EnsembleRegression(Regression):
    """Learn numbers for each record by an ensemble, from batches ``(inputs, targets)``.

    The architecture, such as ``tabm``, gives ``(B, k, K)``, or ``(B, k, K * Q)`` with Q quantiles.
    The loss is the mean of the k losses; metrics and predictions are of the members' mean.

    Args:
        architecture: Gives ``(B, k, K)``.
        loss: ``loss(output (N, K), target (N, K))``, a mean over records.
        slots: Arguments of `Regression`.
    """

    def __init__(self, architecture: nn.Module, loss: Callable, **slots):
        super().__init__(architecture, MemberLoss(loss), **slots)

    def predicted(self, output: Tensor) -> Tensor:
        """``(B, K)``, or ``(B, K, Q)`` with quantiles, in the original unit; the metrics' too."""
        return super().predicted(output.mean(dim=1))

    def check_output(self, output: Any, batch: Any) -> None:
        """Numbers by each member, and targets ``(B, K)``."""
        check_members(output, "regression")
        super().check_output(output.mean(dim=1), batch)


def joint_scores(scores_BkC: Tensor) -> Tensor:
    """Scores ``(B, C)`` whose softmax is the mean of the members' probabilities; at least float32.

    Taken in logarithms, so that the smallest probabilities do not become 0.
    """
    scores_BkC = scores_BkC if scores_BkC.element_size() > 4 else scores_BkC.float()
    return torch.logsumexp(scores_BkC.log_softmax(dim=-1), dim=1)


def check_members(output: Any, task: str) -> None:
    """The output has an axis of members.

    Args:
        output: The architecture's.
        task: The built-in task of one network.
    Raises:
        ConfigError: it is the output of one network.
    """
    if isinstance(output, Tensor) and output.ndim == 3:
        return
    found = tuple(output.shape) if isinstance(output, Tensor) else type(output).__name__
    raise ConfigError(
        f"task ensemble_{task}: the architecture gives {found}, and has no members",
        known="outputs (B, k, C), one row for each record and member",
        fix=f"architecture: tabm, or task: {task} for this one",
    )
