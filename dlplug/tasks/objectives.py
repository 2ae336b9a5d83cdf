"""What a language model can learn from texts, and which settings belong to it."""

from dlplug.data.spec import DataSpec
from dlplug.errors import InvalidValueError
from dlplug.tasks.span_corruption import spans_needed

OBJECTIVES = ("causal", "masked", "span", "span_corruption")
# Of Devlin et al. 2019, section 3.1, and of Raffel et al. 2020, section 3.3.4.
MASK_FRACTION, SPAN_LENGTH = 0.15, 3.0


def check_objective(objective: str, mask_fraction: float | None, span_length: float | None) -> None:
    """The objective is known, and the settings are its own and in their ranges.

    Args:
        objective: Of the config.
        mask_fraction: Share of the tokens that are hidden; None where nothing is set.
        span_length: Mean length of a span, in tokens; None where nothing is set.
    Raises:
        InvalidValueError: names the one that is not.
    """
    if objective not in OBJECTIVES:
        raise InvalidValueError(
            f"task language_modelling: objective = {objective!r}", known=", ".join(OBJECTIVES)
        )
    for name, value, users in (
        ("mask_fraction", mask_fraction, OBJECTIVES[1:]),
        ("span_length", span_length, OBJECTIVES[2:]),
    ):
        if value is not None and objective not in users:
            raise InvalidValueError(
                f"task language_modelling: {name} = {value} is of no use for objective ="
                f" {objective!r}",
                fix=f"delete {name}, or set objective: {users[0]}",
            )
    if mask_fraction is not None and not 0 < mask_fraction < 1:
        raise InvalidValueError(
            f"task language_modelling: mask_fraction = {mask_fraction} is not in (0, 1)"
        )
    if span_length is not None and not span_length >= 1:
        raise InvalidValueError(
            f"task language_modelling: span_length = {span_length} is not 1 token or more"
        )


def check_sentinels(spec: DataSpec, mask_fraction: float, span_length: float) -> None:
    """The data has what ``span_corruption`` needs: start, end, and a sentinel for each span.

    Raises:
        InvalidValueError: it has not; says how many sentinels are needed.
    """
    for name in ("sequence_length", "start_token", "end_token"):
        if getattr(spec, name) is None:
            raise InvalidValueError(
                f"task language_modelling: objective = 'span_corruption' needs data with a {name}"
            )
    needed = spans_needed(spec.sequence_length, mask_fraction, span_length)
    if len(spec.sentinels) < needed:
        raise InvalidValueError(
            f"task language_modelling: objective = 'span_corruption' leaves {needed} spans out of"
            f" {spec.sequence_length} tokens, and the data has {len(spec.sentinels)} sentinels",
            fix=f"set data.num_sentinels to {needed}",
        )
