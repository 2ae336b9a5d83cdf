"""The page about one component, for ``describe KIND NAME`` and ``fit --architecture.help NAME``.

Also ``--trainer.help``, and ``--architecture.help`` without a name.
"""

import textwrap
from collections.abc import Iterable
from typing import Any

from dlplug.cli.help_page import PROGRAM, names_line
from dlplug.config.slots import COMPONENT_SLOTS
from dlplug.errors import InvalidValueError, PluginError, UnknownKeyError
from dlplug.plugin import KINDS, Component, Registry

WIDTH = 98
GENERAL = ("optimizers", "schedulers", "callbacks", "loggers")
"""Kinds whose components work with any data and task."""
FILLED_BY = {
    "data": "filled from the data",
    "task": "decided by the task",
    "run": "set by the run",
}
SECTION = 14
"""Columns of the words at the left of the last lines."""


def take_help_request(arguments: list[str]) -> tuple[str, str | None] | None:
    """The slot and the name of a ``--slot.help [NAME]`` among the arguments, or None.

    Raises:
        UnknownKeyError: The slot has no components.
    """
    for index, argument in enumerate(arguments):
        flag, has_value, value = argument.partition("=")
        if not flag.startswith("--") or not flag.endswith(".help"):
            continue
        slot = flag[2:].removesuffix(".help")
        if slot not in (*COMPONENT_SLOTS, "trainer"):
            raise UnknownKeyError(
                f"no help for '{slot}'",
                where="command line",
                known=", ".join(f"--{name}.help" for name in (*COMPONENT_SLOTS, "trainer")),
            )
        following = arguments[index + 1 : index + 2]
        if not has_value and following and not following[0].startswith("--"):
            value = following[0]
        return slot, value or None
    return None


def help_text(slot: str, name: str | None, registry: Registry) -> str:
    """What a slot takes; with a name, the page of that component, which is imported.

    Raises:
        PluginError: No such component, or it cannot be loaded.
    """
    if slot == "trainer":
        return _trainer_text(name)
    kind = COMPONENT_SLOTS[slot].kind
    registry.load_hooks()
    if name is None:
        return "\n".join(
            [
                f"{slot}: {COMPONENT_SLOTS[slot].summary}",
                f"one of: {names_line(kind, registry)}",
                f"arguments of one: {PROGRAM} fit --{slot}.help NAME",
            ]
        )
    offered = {word for c in registry.components(kind) for word in (c.name, c.id)}
    # A hook may offer names with dots: what is installed comes before a class path.
    if "." in name and ":" not in name and name not in offered:
        return _class_path_text(slot, name, registry)
    return component_text(component_data(kind, name, registry))


def component_data(kind: str, name: str, registry: Registry) -> dict[str, Any]:
    """All that `component_text` says, as plain data; imports the component.

    Args:
        kind: Plural.
        name: Short name or id.
        registry: Where it is looked up.
    Raises:
        PluginError: No such component, or it cannot be loaded.
    """
    from dlplug.config.facts_cache import FactsCache
    from dlplug.config.usage import config_files, configs_folder

    component = registry.find(kind, name, where="command line")
    cache = FactsCache.of_this_environment()
    facts = cache.of_component(component, where="command line")
    cache.save()
    files = config_files(configs_folder(), registry)
    used = [file for file in files if file.uses(kind, component.name, component.id)]
    return {
        "kind": kind,
        "name": component.name,
        "id": component.id,
        "provider": component.provider,
        "target": component.target,
        "summary": component.summary or facts.doc.summary,
        **{key: value for key, value in facts.to_dict().items() if key != "doc"},
        "doc": facts.doc.prose,
        "references": list(facts.doc.references),
        "reaches": facts.doc.reaches,
        "configs": [str(file.path) for file in used],
        "command": _command(component, facts, [str(file.path) for file in used]),
    }


def component_text(data: dict[str, Any]) -> str:
    """The answer of `component_data` for reading."""
    kind = KINDS[data["kind"]]
    head = f"{kind.singular} '{data['name']}' of {data['provider']}: {data['target']}"
    lines = [head, "", *_about(data), ""]
    if data["arguments"] is None and data["kind"] in _traits():
        lines += ["Its arguments cannot be read.", ""]
    elif data["arguments"] is not None:
        lines += [*argument_lines(_prefix(data["kind"]), _arguments(data)), ""]
        if data["is_open"]:
            lines += ["It takes further arguments unchecked, under dict_kwargs.", ""]
    for word, who in FILLED_BY.items():
        names = [a["name"] for a in data["arguments"] or () if a["filled_by"] == word]
        if names:
            lines += textwrap.wrap(f"{who}: {', '.join(names)}", WIDTH, subsequent_indent="    ")
    for word, texts in (
        ("references", data["references"]),
        ("reaches", [data["reaches"]] if data["reaches"] else []),
        ("used in", data["configs"]),
        ("try", [data["command"]]),
    ):
        lines += _section(word, texts)
    return "\n".join(lines).rstrip()


def argument_lines(prefix: str, arguments: Iterable) -> list[str]:
    """Two lines or more for each argument: its key, type and default, then its description.

    Args:
        prefix: Before the argument's name: ``--architecture``, or empty.
        arguments: `dlplug.config.facts.Argument`.
    """
    lines = []
    for argument in arguments:
        facts = [argument.type]
        if argument.is_required:
            facts.append("required")
        elif argument.default is not None:
            facts.append(f"default {argument.default}")
        if argument.filled_by:
            facts.append(FILLED_BY[argument.filled_by])
        lines.append(f"  {prefix}{argument.name}  ({'; '.join(facts)})")
        pad = " " * 6
        lines += textwrap.wrap(argument.doc, WIDTH, initial_indent=pad, subsequent_indent=pad)
    return lines or ["It takes no arguments."]


def _about(data: dict[str, Any]) -> list[str]:
    """The summary, then the docstring where it says more."""
    summary, doc = data["summary"], data["doc"]
    if not doc:
        return [summary or "It has no description."]
    is_said = not summary or " ".join(doc.split()).startswith(summary)
    return [doc] if is_said else [summary, "", doc]


def _trainer_text(name: str | None) -> str:
    from dlplug.config.facts_cache import FactsCache

    if name is not None:
        raise InvalidValueError(f"--trainer.help takes no value, got '{name}'")
    cache = FactsCache.of_this_environment()
    arguments = cache.of_trainer()
    cache.save()
    head = "trainer: arguments of lightning.Trainer"
    return "\n".join([head, "", *argument_lines("--trainer.", arguments)])


def _class_path_text(slot: str, path: str, registry: Registry) -> str:
    from dlplug.config.facts import facts_of
    from dlplug.config.trust import Trust

    kind = COMPONENT_SLOTS[slot].kind
    target = Trust(registry).import_class(path, _traits()[kind].base_class, "command line")
    facts = facts_of(kind, target)
    lines = [f"{slot} by class path: {path}", ""]
    lines += [facts.doc.prose, ""] if facts.doc.prose else []
    if facts.arguments is None:
        raise PluginError(f"cannot read the parameters of {path!r}")
    return "\n".join([*lines, *argument_lines(_prefix(kind), facts.arguments)])


def _traits() -> dict:
    from dlplug.config.kinds import TRAITS

    return TRAITS


def _arguments(data: dict[str, Any]) -> list:
    from dlplug.config.facts import Argument

    return [Argument(**argument) for argument in data["arguments"]]


def _prefix(kind: str) -> str:
    """How an argument of that kind is addressed on the command line."""
    slot = KINDS[kind].slot
    if slot is None:
        return ""
    return f"--{slot}.NAME." if COMPONENT_SLOTS[slot].is_list else f"--{slot}."


def _section(word: str, texts: list[str]) -> list[str]:
    lines = []
    for number, text in enumerate(texts):
        head = f"{word + ':' if number == 0 else '':<{SECTION}}"
        # A line to be pasted stays whole.
        lines += (
            [head + text]
            if word in ("try", "used in")
            else textwrap.wrap(text, WIDTH, initial_indent=head, subsequent_indent=" " * SECTION)
        )
    return lines


def _command(component: Component, facts, configs: list[str]) -> str:
    """A command line that shows the component at work; what must be decided is in capitals."""
    name, slot = component.name, KINDS[component.kind].slot
    if component.kind == "commands":
        return f"{PROGRAM} {name} --help"
    if configs:
        return f"{PROGRAM} fit --config {configs[0]}"
    # What fits any data is shown on data that is always there.
    is_general = component.kind in GENERAL
    words = {"data": "digits", "architecture": "mlp"}
    words = words if is_general else {word: word.upper() for word in words}
    parts = []
    key = slot or f"data.{KINDS[component.kind].plural}"
    if slot is None or COMPONENT_SLOTS[slot].is_list:
        parts.append(f"--{key}+ {name}")
        key = f"{key}.{name}"
    else:
        words[slot] = name
    parts = [f"--{word} {value}" for word, value in words.items()] + parts
    required = [a.name for a in facts.arguments or () if a.is_required]
    parts += [f"--{key}.{argument} {argument.upper()}" for argument in required]
    return f"{PROGRAM} fit {' '.join(parts)}"
