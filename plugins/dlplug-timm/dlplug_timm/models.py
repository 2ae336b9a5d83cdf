"""timm's models as architectures: ``from dlplug_timm.models import resnet18``.

A name is looked up when it is asked for, since importing timm takes seconds.
"""

from collections.abc import Callable

from torch import nn


def __getattr__(name: str) -> Callable[..., nn.Module]:
    """The architecture of one model; an AttributeError where timm has no such model."""
    if name.startswith("_"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from dlplug_timm.building import architecture

    try:
        found = architecture(name)
    except LookupError as error:
        raise AttributeError(str(error)) from None
    # The next look-up, pickling among them, finds the very same function.
    return globals().setdefault(name, found)
