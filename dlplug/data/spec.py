"""What the data knows about itself, so that no config has to repeat it. No torch, no Lightning."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from dlplug.errors import InvalidValueError, UnknownKeyError, suggestion


@dataclass(frozen=True, kw_only=True)
class DataSpec:
    """Facts about a data set; None where they do not apply.

    A parameter of an architecture or a loss whose name is one of these fields, or one of
    `SYNONYMS`, takes its value from here unless the config sets it.

    Args:
        in_channels: Channels of an image.
        image_size: Height and width of an image in pixels; one number when they are equal.
        num_classes: Number of classes; labels are ``0 ... num_classes - 1``.
        num_features: Numbers in a record: the continuous columns of a table, or all the pixels.
        cat_cardinalities: Number of values of each categorical column.
        vocab_size: Number of different tokens.
        sequence_length: Tokens in the longest record.
        class_names: Names of the classes in the order of their labels.
    Raises:
        InvalidValueError: a count is below 1, or the class names are not one per class.
    """

    in_channels: int | None = None
    image_size: int | tuple[int, int] | None = None
    num_classes: int | None = None
    num_features: int | None = None
    cat_cardinalities: tuple[int, ...] | None = None
    vocab_size: int | None = None
    sequence_length: int | None = None
    class_names: tuple[str, ...] | None = None

    def __post_init__(self):
        # Plain data (JSON, YAML, a checkpoint) knows lists only.
        for name in ("image_size", "cat_cardinalities", "class_names"):
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
        names, count = self.class_names, self.num_classes
        if names is not None and count is not None and len(names) != count:
            raise InvalidValueError(
                f"data spec: {len(names)} class_names for num_classes = {count}"
            )

    def value_for(self, parameter: str) -> Any:
        """The value for a parameter of that name (a field or a synonym), or None if unknown."""
        field = SYNONYMS.get(parameter, parameter)
        return getattr(self, field) if field in FIELDS else None

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


FIELDS = tuple(field.name for field in fields(DataSpec))

COUNTS = ("in_channels", "num_classes", "num_features", "vocab_size", "sequence_length")

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
