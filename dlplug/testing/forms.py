"""Tiny data: the forms that inputs and targets take, each with its data spec and its tensors.

They are those of `dlplug/tasks/README.md`. A stranger's component is built for one of each, found
from its parameters (`inputs_for`) or named in its examples.
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from dlplug.testing.answers import Answers, chosen, exact, marked

RECORDS = 4
"""In a batch."""
SIDE, TOKENS, STEPS, CLASSES, NUMBERS = 16, 11, 8, 3, 2
"""Pixels of an image's side, tokens of the vocabulary, positions, classes, numbers to predict."""
QUANTILES = (0.1, 0.5, 0.9)
SEQUENCE = {"vocab_size": TOKENS, "sequence_length": STEPS}
SERIES = {"num_features": 3, "sequence_length": STEPS}
CLASSIFIED = {"num_classes": CLASSES, "class_names": ("O", "B-x", "I-x")}
MEASURED = {
    "num_targets": NUMBERS,
    "target_mean": (0.0,) * NUMBERS,
    "target_std": (1.0,) * NUMBERS,
    "naive_error": (1.0,) * NUMBERS,
}


@dataclass(frozen=True)
class Inputs:
    """One form of inputs.

    Attributes:
        spec: Fields of the data spec that it has.
        make: ``make(records)`` gives random inputs, as tasks pass them on.
        architecture: A built-in one that takes them, as in a config.
        target: The usual form of target.
    """

    spec: dict[str, Any]
    make: Callable[[int], Any]
    architecture: dict[str, Any]
    target: str = "classes"


@dataclass(frozen=True)
class Target:
    """One form of target.

    Attributes:
        spec: Fields of the data spec that it has.
        make: ``make(records)`` gives random targets, as data modules do.
        compared: ``compared(records)`` gives a random output and target, as losses get them.
        task: A built-in task of such targets, as in a config.
        inputs: The usual form of inputs.
        architecture: A built-in one for it; None for that of the inputs.
        measured: What metrics get, made of output and target.
        loss: The loss that goes with it; None for that of the task.
        besides: What the task gives some metrics besides.
        answers: ``answers(output, target)`` gives right and wrong outputs for a target.
    """

    spec: dict[str, Any]
    make: Callable[[int], Tensor]
    compared: Callable[[int], tuple[Tensor, Tensor]]
    task: dict[str, Any]
    inputs: str = "table"
    architecture: dict[str, Any] | None = None
    measured: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]] = lambda *pair: pair
    loss: str | None = None
    besides: Callable[[int], dict[str, Tensor]] = field(default=lambda records: {})
    answers: Callable[[Tensor, Tensor], Answers] = chosen


def tokens(records: int) -> Tensor:
    """Tokens ``(records, STEPS)`` int64; the last record ends in padding."""
    # 0 to 2 have meanings: padding, start, end.
    drawn = torch.randint(3, TOKENS, (records, STEPS))
    drawn[-1, -2:] = 0
    return drawn


MLP = {"name": "mlp", "hidden": [8]}
TRANSFORMER = {"name": "transformer", "dim": 8, "depth": 1, "heads": 2}
INPUTS: dict[str, Inputs] = {
    "image": Inputs(
        {"in_channels": 3, "image_size": SIDE}, lambda n: torch.randn(n, 3, SIDE, SIDE), MLP
    ),
    "categories": Inputs(
        {"num_features": 3, "cat_cardinalities": (3, 4)},
        lambda n: {"x_cont": torch.randn(n, 3), "x_cat": torch.randint(0, 3, (n, 2))},
        {"name": "ft_transformer", "dim": 8, "depth": 1, "heads": 2},
    ),
    "tokens": Inputs(SEQUENCE | {"mask_token": 2}, tokens, TRANSFORMER),
    "series": Inputs(SERIES, lambda n: torch.randn(n, STEPS, 3), TRANSFORMER),
    "table": Inputs({"num_features": 5}, lambda n: torch.randn(n, 5), MLP),
    "pair": Inputs(
        SEQUENCE | {"start_token": 1, "end_token": 2},
        lambda n: {"source": tokens(n), "target": tokens(n)},
        {"name": "encoder_decoder", "dim": 8, "depth": 1, "heads": 2},
        "written",
    ),
}


def classes(*shape: int) -> Tensor:
    """Classes of that shape, int64."""
    return torch.randint(0, CLASSES, shape)


def labels(records: int) -> Tensor:
    """Several labels for each record, 0 or 1."""
    return torch.randint(0, 2, (records, CLASSES)).float()


def probabilities(scores: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Of the classes, and the classes."""
    return scores.softmax(dim=1), target


TARGETS: dict[str, Target] = {
    "classes": Target(
        CLASSIFIED,
        classes,
        lambda n: (torch.randn(n, CLASSES), classes(n)),
        {"name": "classification"},
        measured=probabilities,
    ),
    "numbers": Target(
        MEASURED,
        lambda n: torch.randn(n, NUMBERS),
        lambda n: (torch.randn(n, NUMBERS), torch.randn(n, NUMBERS)),
        {"name": "regression"},
        answers=exact,
    ),
    "labels": Target(
        CLASSIFIED,
        labels,
        lambda n: (torch.randn(n, CLASSES), labels(n)),
        {"name": "multilabel_classification"},
        measured=lambda output, target: (output.sigmoid(), target.long()),
        answers=marked,
    ),
    "quantiles": Target(
        MEASURED | {"quantiles": QUANTILES},
        lambda n: torch.randn(n, NUMBERS),
        lambda n: (torch.randn(n, NUMBERS * len(QUANTILES)), torch.randn(n, NUMBERS)),
        {"name": "regression", "quantiles": list(QUANTILES)},
        measured=lambda output, target: (output[:, 1 :: len(QUANTILES)], target),
        loss="quantile",
        answers=exact,
        besides=lambda n: {
            "predicted_quantiles": torch.randn(n, NUMBERS, len(QUANTILES)).sort(dim=-1).values
        },
    ),
    "pixels": Target(
        CLASSIFIED,
        lambda n: classes(n, SIDE, SIDE),
        lambda n: (torch.randn(n, CLASSES, SIDE, SIDE), classes(n, SIDE, SIDE)),
        {"name": "segmentation"},
        "image",
        {"name": "unet", "widths": [4, 8]},
        probabilities,
    ),
    "positions": Target(
        CLASSIFIED,
        lambda n: classes(n, STEPS),
        lambda n: (torch.randn(n, CLASSES), classes(n)),
        {"name": "sequence_labelling"},
        "tokens",
        measured=probabilities,
        besides=lambda n: {"sequence": torch.arange(n) // 2},
    ),
    "horizon": Target(
        MEASURED | {"horizon": 2},
        lambda n: torch.randn(n, 2, NUMBERS),
        lambda n: (torch.randn(n, 2, NUMBERS), torch.randn(n, 2, NUMBERS)),
        {"name": "forecasting"},
        "series",
        answers=exact,
    ),
    "next_tokens": Target(
        {"vocab_size": TOKENS},
        tokens,
        lambda n: (torch.randn(n, TOKENS), torch.randint(0, TOKENS, (n,))),
        {"name": "language_modelling"},
        "tokens",
    ),
    "written": Target(
        {"vocab_size": TOKENS},
        tokens,
        lambda n: (torch.randn(n, TOKENS), torch.randint(0, TOKENS, (n,))),
        {"name": "sequence_to_sequence"},
        "pair",
    ),
}

# Fields of the data spec that tell a form, the first that fits; a pair must be named.
SIGNS = (
    ("categories", {"cat_cardinalities"}),
    ("image", {"in_channels"}),
    ("image", {"image_size"}),
    ("tokens", {"vocab_size"}),
    ("series", {"num_features", "sequence_length"}),
    ("table", {"num_features"}),
)


def inputs_for(fields: Collection[str]) -> str | None:
    """The form of inputs that parameters (as fields of the data spec) ask for, or None."""
    return next((form for form, signs in SIGNS if signs <= set(fields)), None)
