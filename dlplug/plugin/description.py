"""Everything that is known about one component or distribution, as plain data and as text."""

import inspect
from contextlib import suppress
from pathlib import Path
from typing import Any

from dlplug.errors import PluginError
from dlplug.plugin.component import Component
from dlplug.plugin.listing import entry_data
from dlplug.plugin.names import one_line
from dlplug.plugin.presets import comment_of

LONGEST_DEFAULT = 60
"""Characters of a default's repr; a module or a large tuple would fill the screen."""


def describe_component(component: Component) -> dict[str, Any]:
    """What there is to know about a component; imports it, and says so if that fails.

    Returns:
        The data of ``plugins list --json``, and: ``file`` and ``line`` of the definition (None if
        unknown), ``doc`` (None if there is none), ``command`` to use a preset (None for others),
        ``arguments``: name, type, default and whether it is required, each as text; None if the
        signature cannot be read.
    """
    value = None
    with suppress(PluginError):  # the status and the reason tell it
        value = component.load()
    data = entry_data(component)
    data["file"], data["line"] = _place(value)
    is_file = isinstance(value, Path)  # a preset: what its author says stands on top
    doc_of = comment_of if is_file else inspect.getdoc
    data["doc"] = None if value is None else doc_of(value)
    data["command"] = f"python -m dlplug fit --preset {component.id}" if is_file else None
    data["arguments"] = _arguments(value) if callable(value) else None
    return data


def component_text(data: dict[str, Any]) -> str:
    """The answer of `describe_component` for reading."""
    place = f"{data['file']}, line {data['line']}" if data["line"] else data["file"]
    rows = [
        ("kind", data["kind"]),
        ("id", data["id"]),
        ("version", data["version"]),
        ("entry point", data["entry_point"]),
        ("file", place),
        ("status", data["status"]),
        ("why", data["reason"]),
        ("fix", data["fix"]),
        ("import", f"took {data['seconds']} s" if data["seconds"] else None),
        ("summary", None if data["doc"] else data["summary"]),
        ("use", data["command"]),
    ]
    parts = [_rows(data["name"], rows)]
    if data["doc"]:
        parts.append("\n".join(f"  {line}".rstrip() for line in data["doc"].splitlines()))
    if data["arguments"] is not None:
        parts.append(_argument_text(data["arguments"]))
    return "\n\n".join(parts)


def plugin_text(data: dict[str, Any]) -> str:
    """The data of `listing.plugin_data` for reading."""
    rows = [
        ("version", data["version"]),
        ("summary", data["summary"]),
        ("folder", data["folder"]),
        ("plugin API", data["api"] or "not stated"),
        ("requires", ", ".join(data["requires"])),
        ("status", data["status"]),
        ("why", data["reason"]),
        *(("note", text) for text in (*data["warnings"], *data["notes"])),
    ]
    entries = [f"  {one_line(e['entry_point'])}  ({e['status']})" for e in data["entries"]]
    return "\n".join([_rows(data["name"], rows), "", *(entries or ["  no entry points"])])


def _rows(title: str, rows: list[tuple[str, str | None]]) -> str:
    return "\n".join(
        [title, *(f"  {key + ':':<12} {one_line(text)}" for key, text in rows if text)]
    )


def _place(value: object) -> tuple[str | None, int | None]:
    if isinstance(value, Path):
        return str(value), None
    target = inspect.unwrap(value) if callable(value) else value
    try:
        file = inspect.getsourcefile(target)
    except TypeError:
        return None, None  # compiled, or a partial
    try:
        return file, inspect.getsourcelines(target)[1] or None
    except (OSError, TypeError):
        return file, None


def _arguments(value: Any) -> list[dict[str, Any]] | None:
    try:
        parameters = inspect.signature(value).parameters.values()
    except (TypeError, ValueError):
        return None
    return [_argument(parameter) for parameter in parameters]


def _argument(parameter: inspect.Parameter) -> dict[str, Any]:
    stars = {parameter.VAR_POSITIONAL: "*", parameter.VAR_KEYWORD: "**"}.get(parameter.kind, "")
    has_default = parameter.default is not parameter.empty
    default = repr(parameter.default) if has_default else None
    if default and len(default) > LONGEST_DEFAULT:
        default = default[: LONGEST_DEFAULT - 1] + "…"
    typed = parameter.annotation is not parameter.empty
    return {
        "name": stars + parameter.name,
        "type": inspect.formatannotation(parameter.annotation).strip("'") if typed else None,
        "default": default,
        "required": not has_default and not stars,
    }


def _argument_text(arguments: list[dict[str, Any]]) -> str:
    if not arguments:
        return "arguments: none"
    width = max(len(argument["name"]) for argument in arguments)
    lines = ["arguments:"]
    for argument in arguments:
        default = "required" if argument["required"] else argument["default"]
        text = f"  {argument['name']:<{width}}  {argument['type'] or 'any'}"
        lines.append(f"{text} = {default}" if default else text)
    return "\n".join(lines)
