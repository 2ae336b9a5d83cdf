"""Learn a language from its texts: the next token, or what was hidden or left out of them."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import Optimizer
from torchmetrics import Metric

from dlplug.data.spec import DataSpec
from dlplug.errors import ConfigError, DataError, InvalidValueError
from dlplug.nn.absent import IGNORED, PADDING
from dlplug.tasks.checks import describe
from dlplug.tasks.objectives import (
    MASK_FRACTION,
    SPAN_LENGTH,
    check_objective,
    check_sentinels,
)
from dlplug.tasks.positions import check_positions, with_target
from dlplug.tasks.row_numbers import row_numbers
from dlplug.tasks.span_corruption import corrupt_spans
from dlplug.tasks.task import Task
from dlplug.tasks.token_hiding import hide_tokens


class LanguageModelling(Task):
    """Predict tokens, from batches of tokens ``(B, T)`` int64, where 0 is padding.

    ``causal``: the next token of each position, by a decoder. Next tokens are the batch's targets
    ``(B, T)`` where the data has no classes, else the tokens themselves, one position on.

    ``masked``: 15 % of the tokens are hidden, and an encoder predicts them (BERT). ``span``: the
    hidden tokens lie in spans of 3 on average, and are predicted in place (SpanBERT).

    ``span_corruption``: such spans are left out, and each leaves a sentinel, a token of its own at
    the end of the vocabulary. An architecture with a source and a target, such as encoder_decoder,
    reads what stays, and writes each sentinel with its span (T5). The data must have sentinels:
    ``data.num_sentinels``. Another training whose data has as many can start from the weights.

    While training, what is hidden follows from torch's global generator; in evaluation it depends
    on each text alone, so that neither epoch nor batch size, order or number of processes changes
    the questions. The loss is a mean over the predicted tokens. Predictions are the negative
    log-likelihood of each text and the number of its tokens that were predicted.

    Args:
        objective: ``causal``, ``masked``, ``span`` or ``span_corruption``.
        mask_fraction: Share of the tokens that are hidden, in (0, 1); None for 0.15. Not for
            ``causal``.
        span_length: Mean length of a span, in tokens; None for 3. For ``span`` and
            ``span_corruption``.
        architecture, loss, optimizer, scheduler, metrics, data_spec: See `Task`.
    Raises:
        InvalidValueError: a value out of range, or one that the objective does not use.
    References: Devlin et al. 2019, arXiv:1810.04805; Joshi et al. 2020, arXiv:1907.10529; Raffel
        et al. 2020, arXiv:1910.10683.
    """

    slot_defaults: ClassVar[Mapping[str, object]] = {
        "loss": "cross_entropy",
        "metrics": ["perplexity", "token_accuracy"],
    }

    def __init__(
        self,
        architecture: nn.Module,
        loss: Callable,
        optimizer: Callable[..., Optimizer] | None = None,
        scheduler: Callable | None = None,
        metrics: Mapping[str, Metric] | None = None,
        data_spec: DataSpec | None = None,
        objective: str = "causal",
        mask_fraction: float | None = None,
        span_length: float | None = None,
    ):
        super().__init__(architecture, loss, optimizer, scheduler, metrics, data_spec)
        check_objective(objective, mask_fraction, span_length)
        self.objective = objective
        self.mask_fraction = mask_fraction or MASK_FRACTION
        self.span_length = 1.0 if objective == "masked" else (span_length or SPAN_LENGTH)

    @classmethod
    def complete(
        cls,
        spec: DataSpec,
        objective: str = "causal",
        mask_fraction: float | None = None,
        span_length: float | None = None,
    ) -> DataSpec:
        """One output of each position for each token; a decoder or an encoder.

        Raises:
            InvalidValueError: the data has no tokens, or too few to hide others with.
        """
        check_objective(objective, mask_fraction, span_length)
        if spec.vocab_size is None:
            raise InvalidValueError(
                "task language_modelling needs data of tokens, and this has no vocab_size",
                fix="use data of texts, such as data text",
            )
        if objective in ("masked", "span") and spec.mask_token is None:
            raise InvalidValueError(
                f"task language_modelling: objective = {objective!r} needs data with a mask_token"
            )
        if objective == "span_corruption":
            check_sentinels(spec, mask_fraction or MASK_FRACTION, span_length or SPAN_LENGTH)
        return replace(
            spec,
            num_outputs=spec.vocab_size,
            per_position=True,
            is_causal=objective in ("causal", "span_corruption"),
        )

    def output_and_target(self, batch: Any) -> tuple[Tensor, Tensor]:
        """Scores ``(N, C)`` and tokens ``(N,)`` of the positions to predict."""
        return with_target(*self._scores_and_targets(*batch))

    def predict_step(self, batch: Any, batch_idx: int) -> Tensor:
        """Negative log-likelihood in nats, and number of tokens, of each text: ``(B, 2)``."""
        is_pair = isinstance(batch, (tuple, list)) and len(batch) == 2
        scores, targets = self._scores_and_targets(*(batch if is_pair else (batch, None)))
        check_positions(scores, targets)
        scores = scores if scores.dtype == torch.float64 else scores.float()
        loss = F.cross_entropy(scores.transpose(1, 2), targets, reduction="none")
        is_known = (targets != IGNORED).to(loss.dtype)
        return torch.stack([loss.sum(dim=1), is_known.sum(dim=1)], dim=1).cpu()

    def prediction_table(self, predictions: Tensor) -> tuple[list[str], Iterable[list]]:
        """How likely each text is."""
        perplexity = (predictions[:, 0] / predictions[:, 1]).exp()
        rows = zip(predictions.tolist(), perplexity.tolist(), strict=True)
        columns = ["tokens", "negative_log_likelihood", "perplexity"]
        return columns, ([int(count), loss, value] for (loss, count), value in rows)

    def check_output(self, output: Any, batch: Any) -> None:
        """Scores for each token of the vocabulary."""
        vocab_size = self.data_spec.vocab_size
        if vocab_size is not None and output.shape[1] != vocab_size:
            raise ConfigError(
                f"the architecture gives {output.shape[1]} scores, the data has {vocab_size}"
                " tokens",
                fix="leave out the number of outputs: it is filled in from the data",
            )

    def _scores_and_targets(self, tokens: Any, targets: Any) -> tuple[Any, Tensor]:
        """The output ``(B, T, C)``, and targets ``(B, T)`` with -100 where there is none."""
        if not isinstance(tokens, Tensor) or tokens.ndim != 2 or tokens.is_floating_point():
            raise DataError(
                f"task language_modelling needs tokens (B, T) int64, the data gives"
                f" {describe(tokens)}"
            )
        if self.objective == "span_corruption":
            source, target, following = self._corrupted(tokens)
            return self({"source": source, "target": target}), following
        if self.objective != "causal":
            hidden, targets = self._hidden(tokens)
            return self(hidden), targets
        is_next = isinstance(targets, Tensor) and targets.shape == tokens.shape
        if is_next and self.data_spec.num_classes is None:
            return self(tokens), targets
        if tokens.shape[1] < 2:
            raise DataError("task language_modelling: texts of one token have no next one")
        following = tokens[:, 1:]
        return self(tokens[:, :-1]), following.masked_fill(following == PADDING, IGNORED)

    def _hidden(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        spec = self.data_spec
        return hide_tokens(
            tokens,
            self._can_hide(tokens),
            self.mask_fraction,
            self.span_length,
            spec.mask_token,
            spec.sentinels.start,
            self._numbers(tokens, 4),
        )

    def _corrupted(self, tokens: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        spec = self.data_spec
        return corrupt_spans(
            tokens,
            self._can_hide(tokens),
            self.mask_fraction,
            self.span_length,
            spec.sentinels,
            spec.start_token,
            spec.end_token,
            self._numbers(tokens, 2),
        )

    def _can_hide(self, tokens: Tensor) -> Tensor:
        can_hide = tokens != PADDING
        for special in (self.data_spec.start_token, self.data_spec.end_token):
            if special is not None:
                can_hide &= tokens != special
        return can_hide

    def _numbers(self, tokens: Tensor, count: int) -> Tensor:
        """Random numbers in [0, 1), shape ``(count, B, T)``."""
        if not self.training:
            return row_numbers(tokens, count)
        # Drawn on the CPU: the same on every device.
        return torch.rand(count, *tokens.shape).to(tokens.device)
