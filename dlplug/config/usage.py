"""The config files at hand: what each is about, and which components it names."""

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import dlplug
from dlplug.config.choice import read_choice
from dlplug.config.document import load_file
from dlplug.config.slots import COMPONENT_SLOTS, SLOTS, component_kind
from dlplug.config.task_defaults import declared_defaults
from dlplug.config.tree import Node
from dlplug.errors import DlplugError, PluginError
from dlplug.plugin import CORE, Registry
from dlplug.plugin.names import one_line
from dlplug.plugin.presets import comment_of

FOLDER = "configs"
# The callback that needs another run, by name and id.
PRETRAINED = ("pretrained", f"{CORE}:pretrained")
# With which a line of a comment begins that is to be typed.
COMMAND = "python -m dlplug "


@dataclass(frozen=True)
class ConfigFile:
    """One config.

    Attributes:
        path: Where it is, as one would type it.
        about: The comment at its top: prose and commands, each on a line of its own; empty if there
            is none.
        names: Pairs of kind and name, or id, as written; then the task that holds where none is
            named, and the loss and metrics that the task declares where the config is silent.
        starts_from: The run, or file, from whose weights the callback pretrained starts, or None.
    """

    path: Path
    about: str
    names: tuple[tuple[str, str], ...]
    starts_from: str | None = None

    def name_of(self, kind: str) -> str | None:
        """The first name of that kind, or None."""
        return next((name for k, name in self.names if k == kind), None)

    def uses(self, kind: str, name: str, component_id: str) -> bool:
        """Whether it names that component, by short name or id."""
        return (kind, name) in self.names or (kind, component_id) in self.names


def configs_folder() -> Path | None:
    """``configs`` here, or else in the checkout that dlplug runs from, or in the package."""
    package = Path(dlplug.__file__).resolve().parent
    places = (Path(FOLDER), package.parent / FOLDER, package / FOLDER)
    return next((place for place in places if place.is_dir()), None)


def config_files(folder: Path | None, registry: Registry) -> list[ConfigFile]:
    """The configs of a folder by name; what is no config is left out.

    Args:
        folder: From `configs_folder`.
        registry: Where tasks are looked up; nothing is imported.
    """
    found = []
    for path in sorted([*folder.glob("*.yaml"), *folder.glob("*.yml")]) if folder else ():
        try:
            tree = load_file(path)
        except DlplugError:
            continue
        names = tuple(dict.fromkeys(_names(tree)))
        task = next((name for kind, name in names if kind == "tasks"), SLOTS["task"].default)
        names += (("tasks", task), *_of_task(task, tree, registry))
        if tree.value.keys() & COMPONENT_SLOTS.keys():
            about, names = front_comment(path), tuple(dict.fromkeys(names))
            found.append(ConfigFile(path, about, names, _starts_from(tree)))
    return found


def front_comment(path: Path) -> str:
    """The comment lines with which a file begins; lines for an editor are left out.

    Prose is joined to one line, up to a line that is a command: that one stands alone.
    """
    parts: list[list[str]] = [[]]
    for text in comment_of(path).splitlines():
        if text.startswith(COMMAND):
            parts += [[text], []]
        else:
            parts[-1].append(text)
    return "\n".join(filter(None, (one_line(" ".join(part)) for part in parts)))


def _of_task(task: str, tree: Node, registry: Registry) -> list[tuple[str, str]]:
    """Kind and name of what a task puts into the slots that a config leaves open."""
    with suppress(PluginError):
        defaults = declared_defaults(registry.find("tasks", task).target)
        return [
            (COMPONENT_SLOTS[slot].kind, name)
            for slot, value in defaults.items()
            if slot in COMPONENT_SLOTS and slot not in tree.value
            for name in (value if isinstance(value, list) else [value])
            if isinstance(name, str)
        ]
    return []


def _starts_from(tree: Node) -> str | None:
    callbacks = tree.plain().get("callbacks")
    for callback in callbacks if isinstance(callbacks, list) else ():
        if isinstance(callback, dict) and callback.get("name") in PRETRAINED:
            return callback.get("checkpoint")
    return None


def _names(tree: Node, key: str = "") -> list[tuple[str, str]]:
    """Every component that a config names, at any depth."""
    kind, value = component_kind(key) if key else None, tree.value
    names = []
    if kind and (isinstance(value, str) or (isinstance(value, dict) and "name" in value)):
        try:
            choice = read_choice(tree, key)
        except DlplugError:
            return []
        names.append((kind, choice.text))
    for address, child in tree.children():
        if address not in ("name", "class_path"):
            # `callbacks+` holds callbacks; the elements of a list are what the list is.
            names += _names(child, f"{key}.{address}".strip(".").replace("+", ""))
    return names
