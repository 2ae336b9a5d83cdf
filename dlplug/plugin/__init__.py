"""The plugin system: what can be plugged in, what is installed, and in what state it is.

``from dlplug import hookimpl`` marks hooks; ``Registry.discover()`` finds everything. Names are
resolved on first use, so that an author who needs only the marker loads nothing but pluggy.
"""

from importlib import import_module

_HOME = {
    "API_MAJOR": "spec",
    "CORE": "spec",
    "Component": "component",
    "HOOKS": "hooks",
    "KINDS": "spec",
    "Kind": "spec",
    "Offer": "hooks",
    "Plugin": "plugin",
    "Registry": "registry",
    "Status": "status",
    "hookimpl": "hooks",
    "kind_of": "spec",
}
__all__ = sorted(_HOME)


def __getattr__(name: str):
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
