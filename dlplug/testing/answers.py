"""Outputs that are right or wrong by design: a loss that guides a training tells them apart."""

from collections.abc import Callable
from dataclasses import dataclass
from statistics import fmean

import torch
from torch import Tensor

SCORE = 4.0
"""Of the class that an output is sure of; the others have 0."""
DRAWS = 8
LEAST = 1e-4
"""Of the loss of a wrong output, what a right one must save: more than rounding does."""


@dataclass(frozen=True)
class Answers:
    """Outputs for one target.

    Attributes:
        right: Answers it.
        wrong: Groups of outputs; in each the mean loss is above that of ``right``.
    """

    right: Tensor
    wrong: list[list[Tensor]]


def chosen(output: Tensor, target: Tensor) -> Answers:
    """Scores ``(B, C, ...)`` that are sure of the class ``(B, ...)``, or of the next one."""
    nothing, following = torch.zeros_like(output), (target + 1) % output.shape[1]
    right, wrong = (nothing.scatter(1, t.unsqueeze(1), SCORE) for t in (target, following))
    return Answers(right, [[wrong]])


def marked(output: Tensor, target: Tensor) -> Answers:
    """Scores whose signs are the labels 0 and 1; where one of both is wrong, each by itself.

    And the mean of scores of 0 and of twice as sure ones: being surer is worth less and less, but
    not to a loss that takes the scores for the labels.
    """
    right = (2 * target - 1) * SCORE
    groups = [target == label for label in (0, 1) if (target == label).any()]
    wrong = [[torch.where(group, -right, right)] for group in groups]
    return Answers(right, [*wrong, [torch.zeros_like(right), 2 * right]])


def exact(output: Tensor, target: Tensor) -> Answers:
    """The numbers themselves; those as far above as below them.

    In the mean over both sides: a loss may well have its minimum beside the target, as that of
    counts has, but one that is a straight line in the output pulls it to no place at all.
    """
    right = target.repeat_interleave(output[0].numel() // target[0].numel(), dim=1)
    apart = SCORE * torch.empty_like(right).uniform_(0.5, 1).copysign(torch.randn_like(right))
    return Answers(right, [[right + apart, right - apart]])


def objection(loss: Callable, draw: Callable[[], tuple[Answers, Tensor]]) -> str | None:
    """Why a training with this loss would not find right outputs; None if it would.

    Args:
        loss: ``loss(output, target)``.
        draw: Gives outputs, and the random target that they answer; a few are asked for, since
            one may please by chance.
    """
    for answers, target in (draw() for _ in range(DRAWS)):
        best = _cost(loss, answers.right, target)
        for group in answers.wrong:
            costs = [_cost(loss, output, target) for output in group]
            if not fmean(costs) - best > LEAST * max(map(abs, costs)):  # NaN is no preference
                return f"the loss of right outputs is {best:.3g}, of wrong ones {fmean(costs):.3g}"
    return None


@torch.no_grad()
def _cost(loss: Callable, output: Tensor, target: Tensor) -> float:
    return float(loss(output, target))
