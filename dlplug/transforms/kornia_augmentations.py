"""Which augmentations the library kornia has, and how one is built by its name."""

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from dlplug.errors import DataError, InvalidValueError, suggestion

# Of the arguments that kornia takes as nothing else.
TENSOR = (Tensor, Tensor | None)


def import_augmentations():
    """The module ``kornia.augmentation``.

    Raises:
        DataError: kornia is not installed.
    """
    try:
        import kornia.augmentation
    except ImportError as error:
        raise DataError(
            "transform kornia needs the package kornia, which is not installed",
            fix="pip install 'dlplug[augmentation]'",
        ) from error
    return kornia.augmentation


def augmentations(module) -> dict[str, type]:
    """Those that vary single images at random, by name.

    Left out is what prepares images (Resize, Normalize), because no transform is applied in
    validation; what mixes images, which mixup and cutmix do with their targets; and
    RandomDissolving, which downloads a diffusion model.
    """
    return {
        name: kind
        for name, kind in vars(module).items()
        if inspect.isclass(kind)
        and issubclass(kind, module.AugmentationBase2D)
        and name.startswith(("Random", "Color"))
        and name != "RandomDissolving"
    }


def build(name: str, arguments: Mapping[str, Any], module) -> torch.nn.Module:
    """The augmentation of that name.

    Raises:
        InvalidValueError: there is none, it refuses its arguments, or ``p`` is no probability.
    """
    known = augmentations(module)
    if name not in known:
        raise InvalidValueError(
            f"transform kornia: no augmentation {name!r}",
            known=", ".join(sorted(known)),
            fix=suggestion(name, known),
        )
    parameters = inspect.signature(known[name]).parameters
    unknown = next((key for key in arguments if key not in parameters), None)
    if unknown is not None:
        raise InvalidValueError(
            f"transform kornia: {name} has no argument {unknown!r}",
            known=", ".join(parameters),
            fix=suggestion(unknown, parameters),
        )
    probability = arguments.get("p", 1.0)
    if not isinstance(probability, (int, float)) or not 0 <= probability <= 1:
        raise InvalidValueError(f"transform kornia: {name}: p = {probability!r} is not in [0, 1]")
    try:
        given = {
            key: torch.tensor(value) if parameters[key].annotation in TENSOR else as_tuple(value)
            for key, value in arguments.items()
        }
        return known[name](**given)
    except Exception as error:
        raise InvalidValueError(
            f"transform kornia: {name} refuses its arguments {dict(arguments)}: {said(error)}",
            known=", ".join(parameters),
        ) from error


def as_tuple(value: Any) -> Any:
    """YAML has lists where kornia asks for tuples."""
    if isinstance(value, Sequence) and not isinstance(value, str):
        return tuple(map(as_tuple, value))
    return value


def said(error: Exception) -> str:
    """An exception in one line."""
    return " ".join(f"{type(error).__name__}: {error}".split()).removesuffix(":")
