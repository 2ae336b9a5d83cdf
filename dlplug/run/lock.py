"""Which code a run consists of: plugins.lock.

A lock says enough to know later whether the same code is there, and no more: the components by
their ids and entry points; the distributions that they come from with everything that these
require in turn, by version; Python's version. Where a version does not say which code it is (what
is installed in place, from a folder or a repository, or not packaged at all), the SHA-256 of its
Python files stands beside it. Each component's own file has a hash too, so that a file changed
inside an installed package is noticed; of a preset it is the YAML file. Hardware and drivers are in
``env.json``.
"""

import hashlib
import json
import platform
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

import dlplug
from dlplug.plugin import CORE, Component
from dlplug.plugin.hashes import file_hash, tree_hash
from dlplug.plugin.presets import preset_file
from dlplug.plugin.requirements import installed_closure
from dlplug.plugin.sources import (
    is_from_index,
    package_hash,
    package_of,
    packages_of,
    source_file,
)
from dlplug.plugin.spec import PRESETS

LOCK = "plugins.lock"
"""Name of the file, in a run's folder and in a project's."""

FORMAT = 2
Lock = dict[str, Any]


def lock_of(components: Iterable[Component]) -> Lock:
    """The lock of some components, as plain data; imports nothing.

    Returns:
        ``format``, ``python``, ``distributions`` (name -> ``version``, ``sha256`` or both) and
        ``components`` (sorted; ``kind``, ``id``, ``entry_point``, ``sha256`` of the file or None).
    """
    components = list(components)
    roots = {
        CORE,
        *(c.distribution for c in components if not c.file),
        *(n for c in components for n in c.requires),
    }
    distributions: dict[str, dict[str, str]] = {}
    for name, found in installed_closure(roots).items():
        # dlplug's own is that of the code: beside a checkout lies the metadata of its last build,
        # and a wheel with CUDA kernels has a local version.
        version = dlplug.__version__ if name == CORE else found.metadata.get("Version") or "?"
        distributions[name] = {"version": str(version)}
        if not is_from_index(found):
            distributions[name] |= _hashes(packages_of(found))
    for component in components:
        if component.file:
            distributions[component.distribution] = {"sha256": tree_hash(Path(component.file))}
        # A class path into a module that no distribution installed.
        elif component.distribution not in distributions:
            package = package_of(component.target.partition(":")[0])
            code = {"version": component.version} | _hashes([package])
            distributions[component.distribution] = code
    return {
        "format": FORMAT,
        "python": platform.python_version(),
        "distributions": dict(sorted(distributions.items())),
        "components": _entries(components),
    }


def lock_text(lock: Lock) -> str:
    """The text of plugins.lock; equal for equal code."""
    return json.dumps(lock, indent=2) + "\n"


def read_lock(text: str) -> Lock:
    """The lock that a text holds.

    Raises:
        ValueError: it is none, or of another format.
    """
    lock = json.loads(text)
    if not isinstance(lock, dict) or lock.get("format") != FORMAT:
        raise ValueError(f"not a plugins.lock of format {FORMAT}")
    named = [
        lock.get("python"),
        *(text for entry in lock["distributions"].values() for text in entry.values()),
        *(entry[key] for entry in lock["components"] for key in ("kind", "id", "entry_point")),
    ]
    if not all(isinstance(text, str) for text in named):
        raise ValueError("a version or a name is no text")
    return lock


def _entries(components: Iterable[Component]) -> list[dict[str, str | None]]:
    entries = {
        (component.kind, component.id): {
            "kind": component.kind,
            "id": component.id,
            "entry_point": component.target,
            # That of a plugin file is its distribution's.
            "sha256": None if component.file else _file_hash_of(component),
        }
        for component in components
    }
    return [entries[key] for key in sorted(entries)]


def _file_hash_of(component: Component) -> str | None:
    if component.kind == PRESETS:
        with suppress(OSError, ValueError):
            return file_hash(preset_file(component.target))
        return None
    return file_hash(source_file(component.target.partition(":")[0]))


def _hashes(packages: Iterable[str]) -> dict[str, str]:
    """``{"sha256": ...}`` over packages; empty where they have no file."""
    hashes = [found for found in map(package_hash, packages) if found]
    if len(hashes) > 1:
        hashes = [hashlib.sha256("".join(hashes).encode()).hexdigest()]
    return {"sha256": hashes[0]} if hashes else {}
