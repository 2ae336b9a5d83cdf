"""A network's settings: keys that transformers knows, and values that the data decides."""

import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dlplug.errors import InvalidValueError, UnknownKeyError, suggestion
from dlplug_transformers.folder import NAME, read_config
from dlplug_transformers.heads import check_model_type

# Decided by the data, the task or dlplug, in every network.
DECIDED = (
    "vocab_size",
    "num_labels",
    "id2label",
    "label2id",
    "problem_type",
    "pad_token_id",
    "is_decoder",
    "is_encoder_decoder",
    "add_cross_attention",
    "architectures",
    "return_dict",
    "output_hidden_states",
    "dtype",
    "use_cache",
    "transformers_version",
)


def settings_of(folder: Path | None, settings: Mapping[str, Any], auto: type) -> Any:
    """The library's configuration of a network.

    Args:
        folder: With a config.json, which ``settings`` change; None where they are all.
        settings: Of the config.
        auto: The Auto class that is to take it.
    Raises:
        DlplugError: a setting is unknown, missing, or refused.
    """
    from transformers import CONFIG_MAPPING

    changes = {name: value for name, value in settings.items() if name != "model_type"}
    of_folder = read_config(folder) if folder is not None else settings
    model_type = of_folder.get("model_type")
    if folder is None and model_type is None:
        raise InvalidValueError(f"{NAME}: config has no model_type", known="such as bert or gpt2")
    if settings.get("model_type", model_type) != model_type:
        raise InvalidValueError(
            f"{NAME}: config.model_type is {settings['model_type']!r}, that of {folder} is"
            f" {model_type!r}",
            fix="delete config.model_type",
        )
    check_model_type(model_type, auto)
    config_class = CONFIG_MAPPING[model_type]
    check_keys(config_class, changes)
    what = f"the config of {model_type}"
    if folder is None:
        found = made(config_class, what, **changes)
    else:
        found = made(config_class.from_pretrained, what, folder, local_files_only=True, **changes)
    if getattr(found, "is_encoder_decoder", False):
        raise InvalidValueError(
            f"{NAME}: {model_type} writes one text for another",
            known="networks of one text: encoders such as bert, decoders such as gpt2",
        )
    return found


def check_keys(config_class: type, settings: Mapping[str, Any]) -> None:
    """All settings are of this kind of network, and none is decided elsewhere.

    Args:
        config_class: A configuration class of transformers.
        settings: Of the config, without ``model_type``.
    Raises:
        UnknownKeyError: the library would keep a key that no network reads.
        InvalidValueError: a key whose value is no choice.
    """
    own = inspect.signature(config_class.__init__).parameters
    known = [name for name in (*own, *config_class.attribute_map) if name != "self"]
    for key in settings:
        if key in DECIDED:
            raise InvalidValueError(
                f"{NAME}: config.{key} is decided by the data and the task",
                fix=f"delete config.{key}",
            )
        if key not in known:
            raise UnknownKeyError(
                f"{NAME}: model_type {config_class.model_type} has no setting {key!r}",
                known=", ".join(sorted({*known} - {*DECIDED})),
                fix=suggestion(str(key), known),
            )


def made(make, what: str, *arguments, **keywords) -> Any:
    """What a function of the library makes of a user's settings.

    Raises:
        InvalidValueError: the library refuses them.
    """
    try:
        return make(*arguments, **keywords)
    # Its configs and networks refuse values by errors of any class, some of them its own.
    except Exception as error:
        told = " ".join(str(error).split()) or type(error).__name__
        raise InvalidValueError(f"{NAME}: {what} is refused: {told}") from error


def check_length(network, sequence_length: int | None) -> None:
    """The network has a position for each token of the longest record.

    Raises:
        InvalidValueError: it has not.
    """
    limit = getattr(network.config, "max_position_embeddings", None)
    for name, table in network.named_modules():
        # RoBERTa and its kin count from behind the number of padding.
        if name.endswith("position_embeddings") and getattr(table, "padding_idx", None) is not None:
            limit = table.num_embeddings - table.padding_idx - 1
    if limit is not None and sequence_length is not None and sequence_length > limit:
        raise InvalidValueError(
            f"{NAME}: the data has records of {sequence_length} tokens, the network has"
            f" {limit} positions",
            fix=f"set data.sequence_length: {limit}",
        )
