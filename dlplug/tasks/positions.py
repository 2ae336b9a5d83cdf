"""Outputs for each position of a sequence, as the rows that losses and metrics take."""

from typing import Any

from torch import Tensor

from dlplug.errors import ConfigError
from dlplug.nn.absent import IGNORED
from dlplug.tasks.checks import describe
from dlplug.tasks.output_checks import check_floating, fix_for_output


def with_target(output: Any, target: Tensor) -> tuple[Tensor, Tensor]:
    """Scores ``(N, C)`` and targets ``(N,)`` of the positions that have a target.

    Args:
        output: The architecture's, scores ``(B, T, C)``.
        target: Shape ``(B, T)`` int64, -100 where nothing is to be predicted.
    Raises:
        ConfigError: the output is of another shape.
    """
    check_positions(output, target)
    is_known = target != IGNORED
    if is_known.all():  # no copy of what may be the largest tensor of all
        return output.flatten(0, 1), target.flatten()
    return output[is_known], target[is_known]


def check_positions(output: Any, tokens: Tensor) -> None:
    """The output has scores for each position of ``tokens`` ``(B, T)``.

    Raises:
        ConfigError: it has not.
    """
    if not isinstance(output, Tensor) or output.ndim != 3 or output.shape[:2] != tokens.shape[:2]:
        raise ConfigError(
            f"the architecture gives {describe(output)} for sequences {describe(tokens)}",
            known="scores (B, T, C) for each position",
            fix=fix_for_output(output)
            or "choose an architecture for sequences, such as transformer",
        )
    check_floating(output, tokens)
