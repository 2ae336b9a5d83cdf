"""One of timm's models as a function that a config can call."""

import inspect
from collections.abc import Callable
from typing import Any

import timm
from torch import nn

from dlplug.errors import InvalidValueError, suggestion
from dlplug_timm.weights import load_weights

DOC = """timm's {name}, a {family}.

    {about}

    Args:
        {arguments}
        options: Whatever else timm's {family} takes, under dict_kwargs in a config.
    Raises:
        InvalidValueError: an option that the model does not take, or sizes that do not fit.
        CheckpointError: the file cannot be read, or holds another model.
"""
SIZES = int | tuple[int, int] | None
REQUIRED = inspect.Parameter.empty
# Name: type, default, description.
ARGUMENTS: dict[str, tuple[Any, Any, str]] = {
    "num_outputs": (int, REQUIRED, "Width of the head."),
    "in_channels": (int, 3, "Channels of the images."),
    "image_size": (SIZES, None, "Height and width in pixels; one number when they are equal."),
    "patch_size": (SIZES, None, "Side of a patch in pixels; None for the model's."),
    "weights": (
        str | None,
        None,
        "A local file to start from: safetensors, or .pth read without running code. A first"
        " convolution of other channels and positions of another size are adapted, a head of"
        " another width stays new. None for new weights.",
    ),
    "drop_rate": (
        float | None,
        None,
        "Share of values set to 0 before the head while training; None for the model's.",
    ),
    "drop_path_rate": (
        float | None,
        None,
        "Stochastic depth of the last block; None for the model's.",
    ),
}
TIMMS_WORD = {"num_outputs": "num_classes", "in_channels": "in_chans", "image_size": "img_size"}
Options = dict[str, Any]


def architecture(name: str) -> Callable[..., nn.Module]:
    """The function that builds one model; its parameters are those that the model can take.

    Args:
        name: As timm has it, ``resnet18``.
    Raises:
        LookupError: timm has no such model.
    """
    if not timm.is_model(name):
        hint = suggestion(name, timm.list_models())
        raise LookupError(
            f"timm {timm.__version__} has no model {name!r}" + f"; {hint}" * bool(hint)
        )

    def build(num_outputs: int, **given) -> nn.Module:
        return _build(name, {"num_outputs": num_outputs, **given})

    family = _family(name)
    taken = {key: ARGUMENTS[key] for key in ARGUMENTS if _takes(name, family, key)}
    named = inspect.Parameter.POSITIONAL_OR_KEYWORD
    parameters = [
        inspect.Parameter(key, named, annotation=hint, default=default)
        for key, (hint, default, _) in taken.items()
    ]
    others = inspect.Parameter("options", inspect.Parameter.VAR_KEYWORD)
    build.__signature__ = inspect.Signature([*parameters, others])
    build.__name__ = build.__qualname__ = name
    build.__module__ = "dlplug_timm.models"
    about = inspect.getdoc(timm.models.model_entrypoint(name)) or "One of timm's models."
    build.__doc__ = DOC.format(
        name=name,
        family=family.__name__,
        about=about.replace("\n", "\n    "),
        arguments="\n        ".join(f"{key}: {text}" for key, (*_, text) in taken.items()),
    )
    return build


def _build(name: str, arguments: Options) -> nn.Module:
    given = {"in_channels": 3} | {k: v for k, v in arguments.items() if v is not None}
    for key in ("drop_rate", "drop_path_rate"):
        if not 0 <= given.get(key, 0) < 1:
            raise InvalidValueError(
                f"architecture timm.{name}: {key} = {given[key]} is not in [0, 1)"
            )
    in_channels, weights = given["in_channels"], given.pop("weights", None)
    given = {TIMMS_WORD.get(key, key): value for key, value in given.items()}

    def create(**source) -> nn.Module:
        try:
            return timm.create_model(name, **source, **given)
        except TypeError as error:
            raise _refusal(name, given, error) from error
        except (AssertionError, ValueError, IndexError, ZeroDivisionError) as error:
            raise InvalidValueError(
                f"architecture timm.{name} cannot be built with"
                f" {', '.join(f'{key} = {value!r}' for key, value in given.items())}: "
                f"{error or type(error).__name__}",
                fix="other sizes, or another model: some have a least image size",
            ) from error

    model = create() if weights is None else load_weights(name, weights, in_channels, create)
    if getattr(model, "num_classes", given["num_classes"]) != given["num_classes"]:
        raise InvalidValueError(
            f"architecture timm.{name} has no head: it gives features, and no"
            f" {given['num_classes']} outputs",
            fix="another model: this one is a part of others",
        )
    # timm builds it all the same, and every image becomes nothing.
    if getattr(getattr(model, "patch_embed", None), "num_patches", 1) == 0:
        raise InvalidValueError(
            f"architecture timm.{name}: image_size = {given['img_size']} is smaller than one patch",
            fix="a smaller patch_size, or another model",
        )
    return model


def _refusal(name: str, given: Options, error: TypeError) -> InvalidValueError:
    """What is wrong with the options, as far as Python's message tells."""
    known = sorted(set(inspect.signature(_family(name)).parameters) - {"num_classes", "in_chans"})
    unknown = [key for key in given if f"'{key}'" in str(error) and key not in known]
    hint = suggestion(unknown[0], known) if unknown else None
    return InvalidValueError(
        f"architecture timm.{name} does not take these options: {error}",
        known=", ".join(known),
        fix=hint or "leave it out, or choose another model",
    )


def _family(name: str) -> type[nn.Module]:
    """The class that a model is a variant of, as its function's annotation says."""
    function = timm.models.model_entrypoint(name)
    family = inspect.signature(function).return_annotation
    return family if isinstance(family, type) else nn.Module


def _takes(name: str, family: type[nn.Module], argument: str) -> bool:
    """Whether a model can be told an argument; others would ignore it, or refuse it."""
    if argument == "image_size" and timm.models.get_pretrained_cfg_value(name, "fixed_input_size"):
        return True
    if argument in ("image_size", "patch_size"):
        word = TIMMS_WORD.get(argument, argument)
        return word in inspect.signature(family).parameters
    return True
