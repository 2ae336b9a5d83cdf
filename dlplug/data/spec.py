"""What the data knows about itself, so that no config has to repeat it. No torch, no Lightning."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from dlplug.errors import InvalidValueError, UnknownKeyError, suggestion


@dataclass(frozen=True, kw_only=True)
class DataSpec:
    """Facts about a data set, and what a task makes of them; None where they do not apply.

    A parameter of an architecture, a loss or a metric whose name is one of these fields, or one of
    `SYNONYMS`, takes its value from here unless the config sets it. Everything is plain data: the
    spec is saved with a run, so that its model can be used without the training data.

    Args:
        in_channels: Channels of an image.
        image_size: Height and width of an image in pixels; one number when they are equal.
        num_classes: Number of classes; labels are ``0 ... num_classes - 1``.
        num_features: Numbers in a record: the continuous columns of a table, all the pixels, or
            the channels of one time step of a series.
        cat_cardinalities: Number of values of each categorical column.
        vocab_size: Number of different tokens, the special ones included. Token 0 is padding.
        sequence_length: Tokens or time steps in the longest record.
        horizon: Time steps to forecast.
        class_names: Names of the classes in the order of their labels.
        num_targets: Numbers to predict for a record, or for a time step.
        target_names: Names of the numbers to predict.
        target_mean: What was subtracted from each target.
        target_std: What each target was divided by: metrics and predictions are in the original
            unit.
        naive_error: Mean absolute error of each target's last value as the forecast, in the
            training records and in the original unit.
        start_token: Begins a generated sequence.
        end_token: Ends a generated sequence.
        mask_token: Stands for a token that is hidden from the model.
        num_sentinels: Tokens at the end of the vocabulary that no text has, each of which stands
            for a span that was left out.
        num_outputs: Decided by the task: numbers that the architecture gives for a record, or for
            a position. Parameters that mean the number of classes take it where there are none.
        per_position: Decided by the task: whether an architecture for sequences gives outputs for
            each position, or for the whole.
        is_causal: Decided by the task: whether a position may see the later ones.
        quantiles: Decided by the task: which quantiles are predicted.
        preparation: What the data module learned from the training records (means, categories,
            the tokeniser) and needs again for new inputs; only it reads them.
    Raises:
        InvalidValueError: a count is below 1, or the names are not as many as what they name.
    """

    in_channels: int | None = None
    image_size: int | tuple[int, int] | None = None
    num_classes: int | None = None
    num_features: int | None = None
    cat_cardinalities: tuple[int, ...] | None = None
    vocab_size: int | None = None
    sequence_length: int | None = None
    horizon: int | None = None
    class_names: tuple[str, ...] | None = None
    num_targets: int | None = None
    target_names: tuple[str, ...] | None = None
    target_mean: tuple[float, ...] | None = None
    target_std: tuple[float, ...] | None = None
    naive_error: tuple[float, ...] | None = None
    start_token: int | None = None
    end_token: int | None = None
    mask_token: int | None = None
    num_sentinels: int | None = None
    num_outputs: int | None = None
    per_position: bool | None = None
    is_causal: bool | None = None
    quantiles: tuple[float, ...] | None = None
    preparation: Mapping[str, Any] | None = field(default=None, repr=False)

    def __post_init__(self):
        # Plain data (JSON, YAML, a checkpoint) knows lists only.
        for name in FIELDS:
            value = getattr(self, name)
            if isinstance(value, list):
                object.__setattr__(self, name, tuple(value))
        if isinstance(self.image_size, tuple) and len(set(self.image_size)) == 1:
            object.__setattr__(self, "image_size", self.image_size[0])
        for name in COUNTS:
            value = getattr(self, name)
            if value is not None and (not isinstance(value, int) or value < 1):
                raise InvalidValueError(
                    f"data spec: {name} = {value!r} is not a count of 1 or more"
                )
        for names, count in NAMED:
            given, number = getattr(self, names), getattr(self, count)
            if given is not None and number is not None and len(given) != number:
                raise InvalidValueError(f"data spec: {len(given)} {names} for {count} = {number}")

    @property
    def sentinels(self) -> range:
        """The tokens of ``num_sentinels``; empty where there are none."""
        end = self.vocab_size or 0
        return range(end - (self.num_sentinels or 0), end)

    def value_for(self, parameter: str) -> Any:
        """The value for a parameter of that name (a field or a synonym), or None if unknown."""
        name = SYNONYMS.get(parameter, parameter)
        if name not in FIELDS or name == "preparation":
            return None
        # The width of the last layer is the task's affair, and the data's where the task is silent.
        names = WIDTHS if name in WIDTHS[:2] else ()
        values = (getattr(self, field) for field in (name, *names))
        return next((value for value in values if value is not None), None)

    def to_dict(self) -> dict[str, Any]:
        """Plain data: the fields that are known, tuples as lists."""
        known = {name: getattr(self, name) for name in FIELDS if getattr(self, name) is not None}
        return {k: list(v) if isinstance(v, tuple) else v for k, v in known.items()}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "DataSpec":
        """The spec of a mapping; synonyms are accepted.

        Raises:
            UnknownKeyError: a key is neither a field nor a synonym.
        """
        unknown = [key for key in values if SYNONYMS.get(key, key) not in FIELDS]
        if unknown:
            raise UnknownKeyError(
                f"data spec: unknown key {unknown[0]!r}",
                known=", ".join(FIELDS),
                fix=suggestion(unknown[0], [*FIELDS, *SYNONYMS]),
            )
        return cls(**{SYNONYMS.get(key, key): value for key, value in values.items()})

    @classmethod
    def of(cls, datamodule: Any) -> "DataSpec":
        """What a data module publishes as ``data_spec``; an empty spec if it publishes none."""
        spec = getattr(datamodule, "data_spec", None)
        if spec is None:
            return cls()
        return spec if isinstance(spec, cls) else cls.from_dict(spec)


# The entry of ``preparation`` that holds the arguments it was learned by: `SplitData.prepared_by`.
ARGUMENTS = "arguments"

FIELDS = tuple(field.name for field in fields(DataSpec))

COUNTS = (
    "in_channels",
    "num_classes",
    "num_features",
    "vocab_size",
    "num_sentinels",
    "sequence_length",
    "horizon",
    "num_targets",
    "num_outputs",
)
WIDTHS = ("num_outputs", "num_classes", "num_targets")
NAMED = (
    ("class_names", "num_classes"),
    ("target_names", "num_targets"),
    ("target_mean", "num_targets"),
    ("target_std", "num_targets"),
    ("naive_error", "num_targets"),
)

# Parameter names that well-known libraries use for the same thing.
SYNONYMS = {
    "in_chans": "in_channels",
    "channels": "in_channels",
    "img_size": "image_size",
    "d_out": "num_classes",
    "out_features": "num_classes",
    "d_in": "num_features",
    "n_cont_features": "num_features",
    "in_features": "num_features",
    "num_tokens": "vocab_size",
    "max_seq_len": "sequence_length",
}
