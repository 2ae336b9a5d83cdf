"""Facts of components, kept from process to process, so that schema and completion import nothing.

One file for each Python environment, beside the memory of `dlplug.plugin.memory`, and best effort
like it. Facts count while the distribution has the same version and the component's source, that
of dlplug and the version of a foreign library (``torch`` for ``torch.optim:SGD``) are the same:
a checkout that is worked on keeps its version. Completion takes them however old they are.
"""

import json
import os
from contextlib import suppress
from functools import lru_cache
from importlib import metadata
from pathlib import Path

import dlplug
from dlplug.config.docstring import Docstring
from dlplug.config.facts import Argument, Facts, facts_of
from dlplug.config.facts import argument_of as argument_of_parameter
from dlplug.errors import PluginError
from dlplug.plugin import Component
from dlplug.plugin.memory import file_of_this_environment, write_or_forget
from dlplug.plugin.sources import source_file

TRAINER = "trainer"


class FactsCache:
    """Facts by component.

    Args:
        path: The JSON file, which need not exist; None to remember nothing.
    """

    def __init__(self, path: Path | None):
        self.path = path
        self._entries: dict[str, dict] | None = None
        self._new: dict[str, dict] = {}

    @classmethod
    def of_this_environment(cls) -> "FactsCache":
        """The cache of the running Python environment."""
        return cls(file_of_this_environment("facts"))

    def of_component(self, component: Component, where: str | None = None) -> Facts:
        """The facts of a component, which is imported when they are not known.

        Raises:
            PluginError: It cannot be used or loaded.
        """
        component.check_usable(where=where)
        key, stamp = _key(component.kind, component.id), stamp_of(component)
        known = self._recall(key, stamp)
        if known is None:
            known = facts_of(component.kind, component.load(where=where))
            # What a hook offers as an object has no source that could be watched.
            self._note(key, stamp_of(component), known)
        return known

    def known(self, component: Component) -> Facts | None:
        """The facts of a component where they need no import; else None."""
        return self._recall(_key(component.kind, component.id), stamp_of(component))

    def of_trainer(self) -> tuple[Argument, ...]:
        """The arguments of Lightning's Trainer; imports it when they are not known."""
        stamp = f"{_version_of('lightning')} {core_stamp()}"
        known = self._recall(TRAINER, stamp)
        if known is None:
            from dlplug.config.trainer import trainer_parameters

            arguments = tuple(map(argument_of_parameter, trainer_parameters()))
            known = Facts(Docstring(), arguments)
            self._note(TRAINER, stamp, known)
        return known.arguments or ()

    def remembered(self, kind: str, component_id: str) -> Facts | None:
        """What was last known of a component, be it out of date; None if nothing was."""
        return self._recall(_key(kind, component_id), None)

    def remembered_trainer(self) -> tuple[Argument, ...]:
        """The Trainer's arguments as they were last known; empty if they were not."""
        known = self._recall(TRAINER, None)
        return known.arguments or () if known else ()

    def save(self) -> None:
        """Write what is new; never raises."""
        if self._new and self.path is not None:
            # Another process may have written meanwhile.
            entries = self._read() | self._new
            self._new = {}
            write_or_forget(self.path, json.dumps(entries))

    def _recall(self, key: str, stamp: str | None) -> Facts | None:
        if self._entries is None:
            self._entries = self._read()
        entry = self._new.get(key) or self._entries.get(key)
        with suppress(KeyError, TypeError, AttributeError):
            if entry and stamp in (None, entry["stamp"]):
                return Facts.from_dict(entry["facts"])
        return None

    def _note(self, key: str, stamp: str, facts: Facts) -> None:
        self._new[key] = {"stamp": stamp, "facts": facts.to_dict()}

    def _read(self) -> dict[str, dict]:
        with suppress(OSError, ValueError, RecursionError):
            raw = json.loads(self.path.read_text(encoding="utf-8")) if self.path else {}
            return raw if isinstance(raw, dict) else {}
        return {}


def stamp_of(component: Component) -> str:
    """Changes when the facts of a component may have changed; imports nothing."""
    module = component.target.partition(":")[0]
    top = module.partition(".")[0]
    source = "" if top == "dlplug" else f"{_version_of(top)} {_source_stamp(module)}"
    return f"{component.version} {component.target} {core_stamp()} {source}".rstrip()


@lru_cache
def core_stamp() -> str:
    """Version of dlplug, with number, size and newest time of its source files."""
    count, size, newest = 0, 0, 0
    folders = [Path(dlplug.__file__).parent]
    while folders:
        for entry in os.scandir(folders.pop()):
            if entry.is_dir():
                folders.append(Path(entry.path))
            elif entry.name.endswith(".py"):
                status = entry.stat()
                count, size = count + 1, size + status.st_size
                newest = max(newest, status.st_mtime_ns)
    return f"{dlplug.__version__}-{count}-{size}-{newest}"


@lru_cache
def _version_of(package: str) -> str:
    # Most packages are called like their distribution; for others the source alone is watched.
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return ""


def _source_stamp(module: str) -> str:
    """Size and time of a module's file."""
    with suppress(OSError, TypeError):
        status = os.stat(source_file(module))
        return f"{status.st_size}-{status.st_mtime_ns}"
    return ""


def _key(kind: str, component_id: str) -> str:
    return f"{kind} {component_id}"


def facts_or_none(cache: FactsCache, component: Component) -> Facts | None:
    """The facts of a component, or None when it cannot be loaded."""
    try:
        return cache.of_component(component)
    except PluginError:
        return None
