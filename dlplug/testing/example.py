"""What an author says of his components, so that the kit can build them: no code, no import.

The file ``dlplug_examples.yaml`` in a package names kind and component, and holds whatever the kit
cannot guess::

    architectures:
      acme_net:
        inputs: tokens
        arguments: {width: 8}
        exempt: {exports: its length depends on the data}
"""

import importlib.util
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path, PurePosixPath
from typing import Any

from dlplug.config.document import load_file
from dlplug.config.slots import COMPONENT_SLOTS
from dlplug.errors import InvalidValueError, UnknownKeyError, suggestion
from dlplug.plugin import CORE, KINDS, Component
from dlplug.plugin.component import HOOKS_KIND
from dlplug.plugin.sources import package_of
from dlplug.testing.forms import INPUTS, TARGETS
from dlplug.testing.rule import all_rules

FILE = "dlplug_examples.yaml"


@dataclass(frozen=True)
class Example:
    """How to build one component small, and what it then takes.

    Attributes:
        arguments: As in a config; only what neither the data gives nor a default.
        inputs: Form of the inputs, one of `INPUTS`; None to tell it from the parameters.
        target: Form of the targets, one of `TARGETS`; None to tell it by trying.
        config: Further slots of the config that trains it, such as its task or a scheduler.
        files: Text files by relative path, for data modules.
        prepare: ``module:function`` of the distribution; called with the folder, writes what is no
            text.
        exempt: Rule to the reason why it does not apply.
    """

    arguments: Mapping[str, Any] = field(default_factory=dict)
    inputs: str | None = None
    target: str | None = None
    config: Mapping[str, Any] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)
    prepare: str | None = None
    exempt: Mapping[str, str] = field(default_factory=dict)


KEYS = tuple(field.name for field in fields(Example))
Examples = dict[tuple[str, str], Example]
"""By kind (plural) and component."""


def examples_of(components: Iterable[Component]) -> Examples:
    """What the packages of these entry points say; nothing of them is imported.

    Raises:
        ConfigError: a file is not of this form.
    """
    components = list(components)
    found: Examples = {}
    for path in filter(None, map(_file_of, sorted(_homes(components)))):
        found |= read_examples(path, components)
    return found


def read_examples(path: Path, components: Iterable[Component]) -> Examples:
    """The examples in one file.

    Args:
        path: Of the file.
        components: Those that it may speak of.
    Raises:
        ConfigError: it cannot be read, holds something else, or names what does not exist.
    """
    content, components = load_file(path).plain(), list(components)
    found: Examples = {}
    names = {kind: [c.name for c in components if c.kind == kind] for kind in KINDS}
    for kind, entries in _mapping(content, "the file", path).items():
        _check_word(kind, KINDS, "kind", path)
        for name, entry in _mapping(entries, kind, path).items():
            _check_word(name, names[kind], KINDS[kind].singular, path)
            example = found[kind, name] = _example(entry, f"{kind}.{name}", path)
            _check_prepare(example.prepare, f"{kind}.{name}.prepare", components, path)
    return found


def _homes(components: Iterable[Component]) -> set[str]:
    """The packages, and modules of plugin files, that hold the code of a distribution."""
    code = [c for c in components if c.kind in (*KINDS, HOOKS_KIND)]
    if any(component.distribution == CORE for component in code):
        return {CORE}  # some of its targets are other libraries' classes
    modules = [(component, component.target.partition(":")[0]) for component in code]
    return {module if component.file else package_of(module) for component, module in modules}


def _example(entry: Any, place: str, path: Path) -> Example:
    entry = _mapping(entry, place, path)
    for key in entry:
        _check_word(key, KEYS, f"key of {place}", path)
    for key, known in (("inputs", INPUTS), ("target", TARGETS)):
        if entry.get(key) is not None:
            _check_word(entry[key], known, f"{place}.{key}", path)
    for name in _mapping(entry.get("exempt"), f"{place}.exempt", path):
        _check_word(name, [rule.name for rule in all_rules()], "rule", path)
    for key in ("arguments", "files", "config"):
        _mapping(entry.get(key), f"{place}.{key}", path)
    for name in _mapping(entry.get("config"), f"{place}.config", path):
        _check_word(name, COMPONENT_SLOTS, "slot of a config", path)
    for name, text in (entry.get("files") or {}).items():
        _check_file(name, text, f"{place}.files", path)
    return Example(**{key: value for key, value in entry.items() if value is not None})


def _check_prepare(target: Any, place: str, components: Sequence[Component], path: Path) -> None:
    """Refuse a function that is not the distribution's: a list of examples is no program."""
    homes = _homes(components)
    module, _, function = str(target).partition(":")
    is_own = any(f"{module}.".startswith(f"{home}.") for home in homes)
    if target is None or (is_own and function.isidentifier()):
        return
    raise InvalidValueError(
        f"{place} is {target!r}, which is no function of this distribution",
        where=str(path),
        known=f"module:function in {' or '.join(sorted(homes)) or 'its packages'}",
    )


def _check_file(name: Any, text: Any, place: str, path: Path) -> None:
    """Texts by a name below the folder that they are for."""
    parts = PurePosixPath(str(name)).parts
    if isinstance(text, str) and parts and parts[0] != "/" and ".." not in parts:
        return
    raise InvalidValueError(
        f"{place} has {name!r}: {type(text).__name__}, which is no text for a file in its folder",
        where=str(path),
        known="names such as data/train.csv, each with a text",
    )


def _mapping(value: Any, place: str, path: Path) -> dict:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise InvalidValueError(
            f"{place} must be a mapping, got {value!r}",
            where=str(path),
            known="kind: {component: {key: value}}, as in dlplug/testing/README.md",
        )
    return value


def _check_word(word: Any, known: Iterable[str], what: str, path: Path) -> None:
    known = list(known)
    if word not in known:
        raise UnknownKeyError(
            f"no {what} {word!r}",
            where=str(path),
            known=", ".join(known) or "none",
            fix=suggestion(str(word), known),
        )


def _file_of(package: str) -> Path | None:
    try:
        spec = importlib.util.find_spec(package)
    except (ImportError, ValueError):
        return None
    places = (spec.submodule_search_locations or ()) if spec else ()
    paths = [Path(place) / FILE for place in places]
    return next((path for path in paths if path.is_file()), None)
