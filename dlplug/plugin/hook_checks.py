"""Checks of a plugin's hooks before they are registered, and of what a hook returns.

pluggy ignores a misspelt hook until ``check_pending``, a forgotten marker for ever, and cannot see
a hook that is offered through ``__getattr__``. Each would be a plugin that silently does nothing.
"""

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from dlplug.errors import PluginError, suggestion
from dlplug.plugin.hooks import HOOKS
from dlplug.plugin.names import one_line

ParseOptions = Callable[[object, str], Mapping[str, Any] | None]
"""pluggy's reader of the marker: the options of an attribute, or None if it is not marked."""


def check_hooks(plugin: object, parse: ParseOptions) -> None:
    """Check every hook that a module or object implements.

    Raises:
        PluginError: naming the first fault and its fix.
    """
    if inspect.isclass(plugin):
        raise PluginError(f"{plugin.__name__!r} is a class", fix="name a module or an instance")
    visible = set(dir(plugin))
    marked = {name: options for name in visible if (options := parse(plugin, name)) is not None}
    for name, options in sorted(marked.items()):
        _check_hook(getattr(plugin, name), options.get("specname") or name, options)
    for name in sorted(HOOKS.keys() - marked.keys()):
        if callable(getattr(plugin, name, None)):
            fault = "is not marked" if name in visible else "is offered only by __getattr__"
            raise PluginError(
                f"hook {name!r} {fault}, so it would never be called",
                fix=f"define {name} in the module or class, under @dlplug.hookimpl",
            )
    if not marked:
        raise PluginError(
            "no function is marked with @dlplug.hookimpl", known=f"hooks: {', '.join(HOOKS)}"
        )


def _check_hook(function: Callable[..., Any], hook: str, options: Mapping[str, Any]) -> None:
    if hook not in HOOKS:
        if options.get("optionalhook"):
            return
        raise PluginError(
            f"no hook is named {hook!r}", known=", ".join(HOOKS), fix=suggestion(hook, HOOKS)
        )
    if options.get("wrapper") or options.get("hookwrapper"):
        raise PluginError(
            f"hook {hook!r} is a wrapper, which dlplug does not call",
            fix="mark it with @dlplug.hookimpl alone, and return an answer",
        )
    if inspect.iscoroutinefunction(function):
        raise PluginError(f"hook {hook!r} is 'async def'", fix="write a plain function")
    known = HOOKS[hook]
    for parameter in inspect.signature(function).parameters.values():
        if parameter.name in known or parameter.kind is parameter.VAR_KEYWORD:
            continue
        hint = suggestion(parameter.name, known)
        # An argument of a later dlplug may stand with a default; a misspelt one may not.
        if parameter.default is parameter.empty or hint:
            raise PluginError(
                f"hook {hook!r} has no argument {parameter.name!r}",
                known=", ".join(known) or "no arguments",
                fix=hint,
            )


def check_answer(hook: str, answer: Any) -> Any:
    """Return what a hook returned, if its type is right.

    Raises:
        TypeError: it is not what the hook's docstring asks for.
    """
    if answer is None or hook not in _ANSWERS:
        return answer
    wanted, fits = _ANSWERS[hook]
    # Rows may come from a generator or another iterable that is read once.
    answer = list(answer) if hook == "dlplug_health" and not isinstance(answer, str) else answer
    if not fits(answer):
        raise TypeError(f"{hook} returned {type(answer).__name__}, not {wanted}")
    if hook == "dlplug_health":
        # Plain values: a detail may be a path or an exception, a verdict a NumPy bool.
        return [(one_line(name), bool(passed), _text(detail)) for name, passed, detail in answer]
    return answer


def _text(detail: Any) -> str:
    return "" if detail is None else one_line(detail)


def _is_row(row: Any) -> bool:
    return isinstance(row, tuple | list) and len(row) == 3


_ANSWERS: dict[str, tuple[str, Callable[[Any], bool]]] = {
    # torch is not imported here; every nn.Module has this method.
    "dlplug_model_built": ("a torch.nn.Module", lambda model: hasattr(model, "named_parameters")),
    "dlplug_upgrade_config": ("a dict", lambda config: isinstance(config, dict)),
    "dlplug_health": ("rows of (name, ok, detail)", lambda rows: all(map(_is_row, rows))),
}
