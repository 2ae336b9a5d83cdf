"""The hooks: every question that the program asks of plugins, and the marker that answers it.

A plugin implements a hook as a function of the same name, marked with ``@dlplug.hookimpl``, in the
module or object that its entry point in the group ``dlplug`` names. It may leave out arguments.
Hooks grow by adding arguments; they are never renamed. None of them runs per training step: that
is what a callback is for. Wrappers (``wrapper=True``) are refused, because an error in one could
not be told from an error in what it wraps.
"""

import inspect
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

import pluggy

PROJECT = "dlplug"
hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


class Offer(NamedTuple):
    """One name that ``dlplug_components`` offers.

    Args:
        name: Name in configs; without ``:``, commas, ``=``, brackets and white space.
        target: ``"module:attr"``, imported only when a config names it; or the class or function.
        summary: One line for ``plugins list``; empty for none.
    """

    name: str
    target: str | Callable[..., Any]
    summary: str = ""


@hookspec
def dlplug_components(
    kind: str,
) -> Iterable[Offer] | Mapping[str, str | Callable[..., Any]] | None:
    """Offer a family of names that no list in a pyproject could hold.

    Asked once per kind, when names of that kind are looked up. The answer is kept for listing and
    completion, see `dlplug.plugin.index`.

    Args:
        kind: Plural, such as ``architectures``.
    Returns:
        A list of ``dlplug.plugin.Offer`` (or objects with its attributes), a mapping of name to
        target, or None for a kind that this plugin does not serve.
    """


@hookspec
def dlplug_model_built(model: Any, config: dict[str, Any]) -> Any | None:
    """Change the architecture after it is built, before the optimizer sees its parameters.

    The plugins are asked in turn, each with the answer of the one before. An exception ends the
    run and names the plugin: a half-changed model is not trained.

    Args:
        model: The architecture, a ``torch.nn.Module``.
        config: The resolved config, plain data; a copy.
    Returns:
        The ``torch.nn.Module`` to use from here on, or None to keep ``model``.
    """


@hookspec
def dlplug_upgrade_config(config: dict[str, Any]) -> dict[str, Any] | None:
    """Rewrite a config of an older version of this plugin, before names are resolved.

    The plugins are asked in turn, each with the answer of the one before. An exception ends the
    command and names the plugin.

    Args:
        config: The composed config, plain data; a copy.
    Returns:
        The config to use from here on, or None to keep it.
    """


@hookspec
def dlplug_health() -> Iterable[tuple[str, bool, str]] | None:
    """Check what this plugin needs (a licence, a device, a file); shown by ``doctor``.

    Returns:
        Rows of (name of the check, whether it passed, detail in one line).
    """


HOOKS: dict[str, tuple[str, ...]] = {
    spec.__name__: tuple(inspect.signature(spec).parameters)
    for spec in (dlplug_components, dlplug_model_built, dlplug_upgrade_config, dlplug_health)
}
"""Name of each hook -> its arguments."""
