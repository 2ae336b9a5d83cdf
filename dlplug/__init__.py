"""Plugins, training from a config, and fused ops for PyTorch.

Names are resolved on first use (PEP 562), so that ``import dlplug`` costs nothing and
``import dlplug.ops`` loads neither Lightning nor pluggy.
"""

import importlib

from dlplug import torchvision_guard

__version__ = "0.1.0"

__all__ = ["DlplugError", "__version__", "hookimpl", "nn", "ops", "optim"]

_HOME = {"DlplugError": "dlplug.errors", "hookimpl": "dlplug.plugin"}
_PACKAGES = ("nn", "ops", "optim")

torchvision_guard.install()


def __getattr__(name: str):
    if name in _PACKAGES:
        return importlib.import_module(f"dlplug.{name}")
    if name in _HOME:
        return getattr(importlib.import_module(_HOME[name]), name)
    raise AttributeError(f"module 'dlplug' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
