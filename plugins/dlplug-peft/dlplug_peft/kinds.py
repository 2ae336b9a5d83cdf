"""The adapters that can be put on any network, and the layers and settings that each takes."""

import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import nn

from dlplug.errors import InvalidValueError, UnknownKeyError, suggestion

NAME = "architecture peft"
LINEAR = (nn.Linear,)
IMAGES = (nn.Linear, nn.Conv2d)


@dataclass(frozen=True)
class Kind:
    """One type of adapter.

    Attributes:
        config: Name of peft's configuration class.
        layers: Classes of layers that it can be put on.
    """

    config: str
    layers: tuple[type, ...] = LINEAR


# Those that need neither tokens, nor several tasks, nor a hand of the training loop, nor states
# that layers share (vera), nor a compiler (boft).
KINDS = {
    "lora": Kind("LoraConfig", (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)),
    "loha": Kind("LoHaConfig", IMAGES),
    "lokr": Kind("LoKrConfig", IMAGES),
    "ia3": Kind("IA3Config", IMAGES),
    "oft": Kind("OFTConfig", IMAGES),
    "hra": Kind("HRAConfig", IMAGES),
    "fourierft": Kind("FourierFTConfig"),
    "miss": Kind("MissConfig"),
    "delora": Kind("DeloraConfig"),
}
# Decided by the arguments of the architecture, or of no meaning outside of peft's own wrappers.
DECIDED = (
    "target_modules",
    "exclude_modules",
    "target_parameters",
    "modules_to_save",
    "layers_to_transform",
    "layers_pattern",
    "trainable_token_indices",
    "task_type",
    "peft_type",
    "auto_mapping",
    "peft_version",
    "base_model_name_or_path",
    "revision",
    "inference_mode",
    "feedforward_modules",
)


def kind_of(name: str) -> Kind:
    """The adapter of that name.

    Raises:
        InvalidValueError: there is none; suggests another one.
    """
    if name not in KINDS:
        raise InvalidValueError(
            f"{NAME}: type = {name!r} is no adapter",
            known=", ".join(KINDS),
            fix=suggestion(name, KINDS),
        )
    return KINDS[name]


def layers_of(name: str) -> tuple[type, ...]:
    """Classes of layers that it can be put on; of LoRA, transformers' own linear layer, too."""
    kind = kind_of(name)
    if name != "lora":
        return kind.layers
    from transformers.pytorch_utils import Conv1D

    return (*kind.layers, Conv1D)


def config_of(name: str, settings: Mapping[str, Any], layers: str) -> Any:
    """Peft's configuration.

    Args:
        name: Type of the adapter.
        settings: By peft's own names.
        layers: A regular expression that the names of the layers match as a whole.
    Raises:
        UnknownKeyError: this type has no such setting.
        InvalidValueError: a setting that is decided elsewhere.
    """
    import peft

    config = getattr(peft, kind_of(name).config)
    known = [key for key in inspect.signature(config).parameters if key not in DECIDED]
    for key in settings:
        if key in DECIDED:
            raise InvalidValueError(
                f"{NAME}: settings.{key} is decided by target and train",
                fix=f"delete settings.{key}",
            )
        if key not in known:
            raise UnknownKeyError(
                f"{NAME}: the adapter {name} has no setting {key!r}",
                known=", ".join(known),
                fix=suggestion(str(key), known),
            )
    # IA3 asks which of its layers scale their input; None of them: each scales its output.
    own = {"feedforward_modules": []} if name == "ia3" else {}
    return config(target_modules=layers, **own, **settings)
