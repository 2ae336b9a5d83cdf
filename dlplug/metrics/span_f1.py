"""F1 of whole spans: an entity counts if its type, its beginning and its end are right."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torchmetrics import Metric

from dlplug.errors import ConfigError, InvalidValueError, suggestion

BEGIN, INSIDE = "B-", "I-"
OUTSIDE = "O"


class SpanF1(Metric):
    """2 * right / (predicted + true) spans, over all sequences together; 0 where there are none.

    Where labels begin with ``B-`` or ``I-``, the rest of a label is the span's type: ``B-`` always
    begins a span, ``I-`` begins one after a label of another type, as conlleval reads IOB2, IOB1
    and whatever a model predicts. Other labels are types themselves, and a run of equal ones is a
    span. Tokens without a label (-100) are left out, as if they were not there.

    Args:
        class_names: Labels in the order of their classes; filled in from the data.
        outside: The label of tokens in no span; None for ``O`` where there is such a label, else
            every token is in a span.
    Raises:
        InvalidValueError: ``outside`` is none of the labels.
    References: Tjong Kim Sang, De Meulder 2003, arXiv:cs/0306050, section 2.3.
    """

    full_state_update = False
    higher_is_better = True

    def __init__(self, class_names: Sequence[str], outside: str | None = None):
        super().__init__()
        if outside is not None and outside not in class_names:
            raise InvalidValueError(
                f"metric span_f1: outside = {outside!r} is none of the labels",
                known=", ".join(class_names),
                fix=suggestion(outside, class_names),
            )
        outside = OUTSIDE if outside is None else outside
        types: dict[str, int] = {}
        rows = []
        for name in class_names:
            has_prefix = name.startswith((BEGIN, INSIDE))
            kind = name[len(BEGIN) :] if has_prefix else name
            is_outside = name == outside
            rows.append((-1 if is_outside else types.setdefault(kind, len(types)), is_outside))
        begins = [name.startswith(BEGIN) for name in class_names]
        # Type of the span that a class belongs to, -1 for none; and whether it begins one for sure.
        self.register_buffer("types", torch.tensor([t for t, _ in rows]), persistent=False)
        self.register_buffer("begins", torch.tensor(begins), persistent=False)
        for name in ("right", "predicted", "true"):
            self.add_state(name, torch.tensor(0), dist_reduce_fx="sum")

    def update(self, scores: Tensor, target: Tensor, sequence: Tensor | None = None) -> None:
        """Count the spans of a batch of whole sequences.

        Args:
            scores: Of the labelled tokens, in order, shape ``(N, C)``.
            target: Classes ``(N,)`` int64.
            sequence: Number of each token's sequence ``(N,)``, given by tasks over tokens.
        Raises:
            ConfigError: the task gives no sequences.
        """
        if sequence is None:
            raise ConfigError(
                "metric span_f1 needs to know which tokens belong together, and the task does not"
                " tell",
                fix="use the task sequence_labelling, or delete the metric span_f1",
            )
        starts_p, ends_p, types_p = self._spans(scores.argmax(dim=-1), sequence)
        starts_t, ends_t, types_t = self._spans(target, sequence)
        is_right = starts_p & starts_t & (types_p == types_t) & (ends_p == ends_t)
        self.right = self.right + is_right.sum()
        self.predicted = self.predicted + starts_p.sum()
        self.true = self.true + starts_t.sum()

    def compute(self) -> Tensor:
        """The F1."""
        return 2 * self.right / (self.predicted + self.true).clamp(min=1)

    def _spans(self, classes: Tensor, sequence: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """For each token: whether a span starts here, where a span ends from here on, its type."""
        types = self.types[classes]
        is_in = types >= 0
        goes_on = torch.zeros_like(is_in)  # with the span of the token before
        goes_on[1:] = (types[1:] == types[:-1]) & (sequence[1:] == sequence[:-1])
        goes_on &= is_in & ~self.begins[classes]
        is_end = is_in.clone()
        is_end[:-1] &= ~goes_on[1:]
        place = torch.arange(len(classes), device=classes.device)
        after = place.where(is_end, len(classes)).flip(0).cummin(dim=0).values.flip(0)
        return is_in & ~goes_on, after, types
