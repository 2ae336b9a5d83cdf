"""One sequence from another: translate, correct, summarise, normalise."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from functools import cached_property
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torchmetrics.text import BLEUScore

from dlplug.data.spec import DataSpec
from dlplug.data.text.tokenizer import Tokenizer, tokenizer_from_plain
from dlplug.errors import ConfigError, DataError, InvalidValueError
from dlplug.metrics.record_mean import RecordMean
from dlplug.nn.absent import IGNORED, PADDING
from dlplug.tasks.beam_search import beam_search, check_beams
from dlplug.tasks.checks import describe
from dlplug.tasks.positions import with_target
from dlplug.tasks.task import Task

EVALUATED = ("val", "test")
NEEDED = ("vocab_size", "start_token", "end_token")


class SequenceToSequence(Task):
    """Learn from batches ``({"source": (B, S), "target": (B, T)}, next target tokens (B, T))``.

    The architecture is called with source and target, and gives scores ``(B, T, C)``; while
    training it sees the true target so far (teacher forcing). In evaluation it also writes targets
    by itself: ``val_exact_match`` is the share of those that are right to the last token,
    ``val_bleu`` is BLEU with tokens in the place of words, both also for the test. Predictions are
    what it writes.

    Args:
        beams: Sequences that the search keeps, see `dlplug.tasks.beam_search`; 1 is greedy.
        length_penalty: Power of the length by which sequences are ranked.
        max_length: Tokens to write, at most; None for the data's sequence_length.
        generated_batches: Validation batches for which targets are written, which takes longer
            than to score them; the test writes all.
        slots: Arguments of `Task`.
    Raises:
        InvalidValueError: a value out of range, or data without tokens.
    """

    slot_defaults: ClassVar[Mapping[str, object]] = {
        "loss": "cross_entropy",
        "metrics": ["token_accuracy"],
    }

    def __init__(
        self,
        architecture: nn.Module,
        loss: Callable,
        beams: int = 1,
        length_penalty: float = 1.0,
        max_length: int | None = None,
        generated_batches: int = 2,
        **slots,
    ):
        super().__init__(architecture, loss, **slots)
        check_beams(beams, length_penalty, max_length)
        if generated_batches < 0:
            raise InvalidValueError(
                f"task sequence_to_sequence: generated_batches = {generated_batches} is below 0"
            )
        self.beams, self.length_penalty = beams, length_penalty
        self.max_length = max_length or self.data_spec.sequence_length
        self.generated_batches = generated_batches
        self.exact = nn.ModuleDict({f"{stage}_": RecordMean() for stage in EVALUATED})
        self.bleu = nn.ModuleDict({f"{stage}_": BLEUScore() for stage in EVALUATED})

    @classmethod
    def complete(cls, spec: DataSpec) -> DataSpec:
        """One output of each target position for each token.

        Raises:
            InvalidValueError: the data has no tokens, or no start and end.
        """
        missing = [name for name in NEEDED if getattr(spec, name) is None]
        if missing:
            raise InvalidValueError(
                f"task sequence_to_sequence needs data with {', '.join(NEEDED)}, and this has no"
                f" {missing[0]}",
                fix="use data of pairs of texts, such as data pairs",
            )
        return replace(spec, num_outputs=spec.vocab_size, per_position=True, is_causal=True)

    def output_and_target(self, batch: Any) -> tuple[Tensor, Tensor]:
        """Scores ``(N, C)`` and tokens ``(N,)`` of the positions to predict."""
        inputs, target = batch
        return with_target(self(inputs), target)

    def write(self, source: Tensor) -> Tensor:
        """What the model writes for sources ``(B, S)``: tokens ``(B, max_length)``, padded."""
        spec = self.data_spec
        length = self.max_length or 2 * source.shape[1]
        with torch.no_grad():
            tokens = beam_search(
                self.architecture,
                source,
                spec.start_token,
                spec.end_token,
                length,
                self.beams,
                self.length_penalty,
            )
        return nn.functional.pad(tokens, (0, length - tokens.shape[1]))

    def logged_names(self, stage: str) -> set[str]:
        """See `Task.logged_names`; what is written is compared outside of training."""
        is_written = stage == "test" or (stage == "val" and self.generated_batches > 0)
        more = {f"{stage}_exact_match", f"{stage}_bleu"} if is_written else set()
        return super().logged_names(stage) | more

    def is_better_when_larger(self, name: str) -> bool | None:
        """See `Task.is_better_when_larger`."""
        return True if name in ("exact_match", "bleu") else super().is_better_when_larger(name)

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        """Count a validation batch; write the targets of the first few."""
        super().validation_step(batch, batch_idx)
        if batch_idx < self.generated_batches:
            self._compare(batch, "val")

    def test_step(self, batch: Any, batch_idx: int) -> None:
        """Count a test batch, and write its targets."""
        super().test_step(batch, batch_idx)
        self._compare(batch, "test")

    def predict_step(self, batch: Any, batch_idx: int) -> Tensor:
        """Tokens ``(B, max_length)``, on the CPU."""
        inputs = batch[0] if isinstance(batch, (tuple, list)) else batch
        source = inputs["source"] if isinstance(inputs, Mapping) else inputs
        return self.write(source).cpu()

    def prediction_table(self, predictions: Tensor) -> tuple[list[str], Iterable[list]]:
        """The text of each, or its tokens where the data has no tokenizer."""
        sequences = [self._cut(row) for row in predictions.tolist()]
        sentinels = self.data_spec.sentinels
        tokenizer = self._tokenizer
        if tokenizer is None:
            return ["tokens"], [[" ".join(map(str, tokens))] for tokens in sequences]
        known = ([token for token in tokens if token not in sentinels] for tokens in sequences)
        return ["text"], [[tokenizer.decode(tokens)] for tokens in known]

    @cached_property
    def _tokenizer(self) -> Tokenizer | None:
        plain = (self.data_spec.preparation or {}).get("tokenizer")
        return None if plain is None else tokenizer_from_plain(plain)

    def check_batch(self, batch: Any) -> None:
        """See `Task.check_batch`; the inputs are a source and a target."""
        inputs = batch[0] if isinstance(batch, (tuple, list)) and batch else batch
        if not isinstance(inputs, Mapping) or set(inputs) != {"source", "target"}:
            raise DataError(
                "a SequenceToSequence task needs inputs {source: (B, S), target: (B, T)}, the data"
                f" gives {describe(inputs)}",
                fix="use data of pairs of texts, such as data pairs",
            )
        super().check_batch(batch)

    def check_output(self, output: Any, batch: Any) -> None:
        """Scores for each token of the vocabulary."""
        if output.shape[1] != self.data_spec.vocab_size:
            raise ConfigError(
                f"the architecture gives {output.shape[1]} scores, the data has"
                f" {self.data_spec.vocab_size} tokens",
                fix="leave out the number of outputs: it is filled in from the data",
            )

    def _compare(self, batch: Any, stage: str) -> None:
        inputs, target = batch
        written = [self._cut(row) for row in self.write(inputs["source"]).tolist()]
        true = [self._cut(row) for row in target.masked_fill(target == IGNORED, PADDING).tolist()]
        right = [a == b for a, b in zip(written, true, strict=True)]
        exact, bleu = self.exact[f"{stage}_"], self.bleu[f"{stage}_"]
        exact.update(torch.tensor(right, dtype=torch.float32).mean().to(self.device), len(right))
        bleu.update(list(map(_words, written)), [[_words(tokens)] for tokens in true])
        shared = {"on_step": False, "on_epoch": True, "batch_size": len(right)}
        self.log(f"{stage}_exact_match", exact, prog_bar=True, **shared)
        self.log(f"{stage}_bleu", bleu, **shared)

    def _cut(self, tokens: list[int]) -> list[int]:
        """Up to the end token or the padding, without them."""
        ends = (self.data_spec.end_token, PADDING)
        end = next((i for i, token in enumerate(tokens) if token in ends), len(tokens))
        return tokens[:end]


def _words(tokens: list[int]) -> str:
    return " ".join(map(str, tokens))
