"""Several checkpoints whose predictions of the same records are averaged."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from dlplug.errors import ConfigError
from dlplug.run.prediction_stream import Predictions


def averaged_later(
    keep: Callable[[Predictions], object],
) -> Callable[[Predictions], None]:
    """Gives predictions to ``keep``, unless they have no mean: that is said with the first batch.

    What it gives raises ConfigError as `mean_of` does.
    """

    def receive(predictions: Predictions) -> None:
        _check_numbers(predictions)
        keep(predictions)

    return receive


def mean_of(parts: Sequence[Predictions]) -> Predictions:
    """The mean of several models' predictions of the same records.

    Raises:
        ConfigError: they are classes or objects, which have no mean, or of several sizes.
    """
    if len(parts) == 1:
        return parts[0]
    for part in parts:
        _check_numbers(part)
    if len(shapes := {tuple(part.shape) for part in parts}) > 1:
        raise cannot(f"they are of several sizes: {' and '.join(map(str, sorted(shapes)))}")
    return torch.stack(list(parts)).mean(dim=0)


def cannot(reason: str) -> ConfigError:
    """The error for predictions that have no mean."""
    return ConfigError(
        f"the predictions of several checkpoints cannot be averaged: {reason}",
        fix="predict with one --ckpt_path",
    )


def _check_numbers(predictions: Predictions) -> None:
    if not (isinstance(predictions, Tensor) and predictions.is_floating_point()):
        raise cannot("they are no probabilities or numbers")
