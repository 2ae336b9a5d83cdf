"""One class for each token of a sequence."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import cached_property
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from dlplug.data.spec import DataSpec
from dlplug.data.text.tokenizer import Tokenizer, tokenizer_from_plain
from dlplug.errors import ConfigError, DataError, InvalidValueError
from dlplug.nn.absent import IGNORED, PADDING
from dlplug.tasks.classification import probabilities
from dlplug.tasks.positions import check_positions, with_target
from dlplug.tasks.task import Task


class SequenceLabelling(Task):
    """Learn the class of each token, from batches of tokens ``(B, T)`` and labels ``(B, T)``.

    Labels are int64, -100 where there is nothing to predict. The architecture gives scores
    ``(B, T, C)``; loss and metrics see those of the labelled positions, ``(N, C)``. C is the
    data's ``num_classes``. Where a label spans several tokens, as names do, the metric ``span_f1``
    counts whole spans. Arguments as for `Task`.
    """

    slot_defaults: ClassVar[Mapping[str, object]] = {
        "loss": "cross_entropy",
        "metrics": ["token_accuracy", "f1"],
    }
    rows_are_records: ClassVar = False
    record_column: ClassVar = "sequence"

    @classmethod
    def complete(cls, spec: DataSpec) -> DataSpec:
        """One output of each position for each class, by an encoder.

        Raises:
            InvalidValueError: the data has no classes.
        """
        if spec.num_classes is None:
            raise InvalidValueError(
                "task sequence_labelling needs data with classes, and this has no num_classes",
                fix="use data with a label for each token, such as data token_labels",
            )
        return replace(spec, num_outputs=spec.num_classes, per_position=True, is_causal=False)

    def output_and_target(self, batch: Any) -> tuple[Tensor, Tensor]:
        """Scores ``(N, C)`` and labels ``(N,)`` of the labelled positions."""
        tokens, labels = batch
        if not isinstance(labels, Tensor) or labels.ndim != 2:
            raise DataError(
                "task sequence_labelling needs a label for each token, (B, T)",
                fix="use data token_labels; for a class of each text, use task classification",
            )
        return with_target(self(tokens), labels)

    def measured(self, output: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """Probabilities ``(N, C)`` and labels ``(N,)``."""
        return probabilities(output), target

    def measured_besides(self, output: Tensor, batch: Any) -> dict[str, Tensor]:
        """The number of each labelled token's sequence, ``(N,)``."""
        return {"sequence": (batch[1] != IGNORED).nonzero()[:, 0]}

    def predict_step(self, batch: Any, batch_idx: int) -> Tensor:
        """Token, and the probability of each class, at each position: ``(B, T, 1 + C)`` float64.

        T is the data's sequence length, so that batches fit together; padding is token 0. All of
        it has a mean over several models, which see the same tokens.
        """
        is_pair = isinstance(batch, (tuple, list)) and len(batch) == 2
        tokens = batch[0] if is_pair else batch
        output = self(tokens)
        check_positions(output, tokens)
        rows = torch.cat([tokens.double()[..., None], probabilities(output).double()], dim=-1)
        length = self.data_spec.sequence_length or tokens.shape[1]
        return F.pad(rows, (0, 0, 0, length - tokens.shape[1])).cpu()

    def prediction_table(self, predictions: Tensor) -> tuple[list[str], Iterable[list]]:
        """One row for each token, with its most probable class."""
        return ["sequence", "position", "token", "predicted", "probability"], self._rows(
            predictions
        )

    def _rows(self, predictions: Tensor) -> Iterable[list]:
        classes, tokenizer = self.data_spec.class_names, self._tokenizer
        tokens, (largest, labels) = predictions[..., 0], predictions[..., 1:].max(dim=-1)
        told = torch.stack([tokens, labels.to(tokens.dtype), largest], dim=-1)
        for sequence, rows in enumerate(told.tolist()):
            for position, (token, best, probability) in enumerate(rows):
                if token == PADDING:
                    continue
                name = tokenizer.name_of(int(token)) if tokenizer else int(token)
                label = classes[int(best)] if classes else int(best)
                yield [sequence, position, name, label, probability]

    @cached_property
    def _tokenizer(self) -> Tokenizer | None:
        plain = (self.data_spec.preparation or {}).get("tokenizer")
        return None if plain is None else tokenizer_from_plain(plain)

    def check_output(self, output: Any, batch: Any) -> None:
        """Scores for each class, and labels within range."""
        classes, labels = self.data_spec.num_classes, batch[1]
        if output.shape[1] != classes:
            raise ConfigError(
                f"the architecture gives {output.shape[1]} scores, the data has {classes} classes",
                fix="leave out the number of outputs: it is filled in from the data",
            )
        wrong = (labels != IGNORED) & ((labels < 0) | (labels >= classes))
        if wrong.any():
            raise DataError(
                f"label {int(labels[wrong][0])} is out of range",
                known=f"0 ... {classes - 1}, and {IGNORED} for a token without a label",
            )
