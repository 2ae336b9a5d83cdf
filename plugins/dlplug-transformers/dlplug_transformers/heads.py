"""Which class of transformers gives the outputs that a task of dlplug asks for."""

from collections.abc import Iterable

from dlplug.errors import InvalidValueError, suggestion


def auto_class(per_position: bool, is_causal: bool, is_vocabulary: bool) -> type:
    """The Auto class of a task.

    Args:
        per_position: Outputs for each position, or for the whole sequence.
        is_causal: Whether a position may not see the later ones.
        is_vocabulary: Whether there is an output for each token.
    """
    import transformers

    if not per_position:
        return transformers.AutoModelForSequenceClassification
    if is_causal:
        return transformers.AutoModelForCausalLM
    if is_vocabulary:
        return transformers.AutoModelForMaskedLM
    return transformers.AutoModelForTokenClassification


def check_model_type(model_type: object, auto: type) -> None:
    """The library knows such networks, and builds them with these outputs.

    Args:
        model_type: Of a config.
        auto: From `auto_class`.
    Raises:
        InvalidValueError: it does not; suggests another one.
    """
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING_NAMES

    able = sorted({config.model_type for config in auto._model_mapping})
    if model_type in able:
        return
    head = auto.__name__.removeprefix("AutoModelFor")
    is_known = isinstance(model_type, str) and model_type in CONFIG_MAPPING_NAMES
    raise InvalidValueError(
        f"architecture transformers.auto: model_type = {model_type!r} "
        + (f"has no network for {head}" if is_known else "is none of transformers"),
        known=_few(able),
        fix=suggestion(str(model_type), able),
    )


def _few(names: Iterable[str]) -> str:
    """The best known of many names."""
    names = list(names)
    famous = [n for n in ("bert", "roberta", "distilbert", "gpt2", "llama", "qwen3") if n in names]
    return f"{', '.join(famous)} and {len(names) - len(famous)} more"
