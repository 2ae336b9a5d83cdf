"""What each module of hooks offered when it was last asked, kept from process to process.

Only a module of hooks knows the names that it offers, and importing it costs what its library
costs. So what it answers is kept, beside the memory of `dlplug.plugin.memory` and best effort like
it: listing, completion, the config's schema and suggestions take the names from here and import
nothing. Commands that run something ask the module itself, and so keep this up to date.

Names count while the distribution, and all that it requires, have the same versions, and the
module's folder the same files: a checkout that is worked on keeps its version. That of a plugin
file is its hash.
"""

import json
import os
from collections.abc import Iterable
from contextlib import suppress
from importlib import metadata
from pathlib import Path

from dlplug.plugin.component import Component
from dlplug.plugin.hooks import Offer
from dlplug.plugin.memory import file_of_this_environment, write_or_forget
from dlplug.plugin.offers import components_from
from dlplug.plugin.requirements import requirements_of
from dlplug.plugin.sources import source_file
from dlplug.plugin.status import Status

Offers = dict[str, list[Offer]]
"""By kind (plural); kinds without a name are left out."""
Module = tuple[Component, tuple[str, ...]]
"""The entry point of a module of hooks, and what its distribution requires, as in Requires-Dist."""


class Index:
    """Offers of modules of hooks.

    Args:
        path: The JSON file, which need not exist; None to remember nothing.
    """

    def __init__(self, path: Path | None):
        self.path = path
        self._known: dict[str, dict] | None = None
        self._read_offers: dict[str, Offers | None] = {}
        self._stamps: dict[str, str] = {}
        self._versions: dict[str, str] = {}

    @classmethod
    def of_this_environment(cls) -> "Index":
        """The index of the running Python environment."""
        return cls(file_of_this_environment("index"))

    def recall(self, entry: Component, requires: Iterable[str]) -> Offers | None:
        """What a module of hooks offers; None when it is not known, or no longer.

        Args:
            entry: Its entry point.
            requires: What its distribution requires, as in Requires-Dist.
        """
        if self._known is None:
            self._known = self._read()
        key = _key(entry)
        if key in self._known and key not in self._read_offers:
            self._read_offers[key] = _offers_from(self._known[key], self._stamp(entry, requires))
        return self._read_offers.get(key)

    def components(self, modules: Iterable[Module], kind: str) -> list[Component]:
        """What modules offered of one kind when they were last asked; not of those that failed."""
        found: list[Component] = []
        for entry, requires in modules:
            if entry.status is Status.FAILED:
                continue
            offers = (self.recall(entry, requires) or {}).get(kind, [])
            with suppress(TypeError, ValueError):  # somebody has written into the file
                found += components_from(offers, kind, entry)
        for component in found:
            component.is_recalled = True
        return found

    def renew(self, entry: Component, requires: Iterable[str], kind: str, now: list[Offer]) -> None:
        """Keep what a module of hooks has answered of one kind, if the others are known."""
        known = self.recall(entry, requires)
        if known is not None and known.get(kind, []) != now:
            self.record(entry, requires, known | {kind: now})

    def record(self, entry: Component, requires: Iterable[str], offers: Offers) -> None:
        """Keep what a module of hooks has answered; writes the file only when it is news.

        Args:
            entry: Its entry point.
            requires: As in `recall`.
            offers: Of every kind: what is left out counts as not offered.
        """
        offers = {kind: named for kind, named in offers.items() if named}
        if self.path is None or self.recall(entry, requires) == offers:
            return
        news = {"stamp": self._stamp(entry, requires), "offers": offers}
        # Another process may have written meanwhile; the window that is left costs one answer.
        self._known = self._read() | {_key(entry): news}
        self._read_offers.clear()
        write_or_forget(self.path, json.dumps(self._known))

    def _read(self) -> dict[str, dict]:
        with suppress(OSError, ValueError, RecursionError):
            raw = json.loads(self.path.read_text(encoding="utf-8")) if self.path else {}
            return raw if isinstance(raw, dict) else {}
        return {}

    def _stamp(self, entry: Component, requires: Iterable[str]) -> str:
        """Changes when the module may offer something else."""
        if _key(entry) not in self._stamps:
            needs = requirements_of(entry.distribution, requires, None)
            extra = (requirement.partition("[")[0] for requirement in entry.requires)
            names = sorted({*(name for name, _ in needs), *extra})
            versions = " ".join(f"{name}=={self._version(name)}" for name in names)
            files = "" if entry.file else _files_of(entry.target)
            self._stamps[_key(entry)] = f"{entry.version} {versions} {files}"
        return self._stamps[_key(entry)]

    def _version(self, name: str) -> str:
        if name not in self._versions:
            try:
                self._versions[name] = metadata.version(name)
            except metadata.PackageNotFoundError:
                self._versions[name] = "none"
        return self._versions[name]


def _offers_from(known: dict, stamp: str) -> Offers | None:
    """What stands in the file, if it is of this stamp and of the form that `Index` writes."""
    with suppress(KeyError, TypeError, AttributeError):
        if known["stamp"] == stamp:
            return {
                str(kind): [Offer(*map(str, offer)) for offer in offers]
                for kind, offers in known["offers"].items()
            }
    return None


def _key(entry: Component) -> str:
    return f"{entry.id} {entry.target}"


def _files_of(target: str) -> str:
    """How many files stand in a module's folder, and when the newest was written (ns)."""
    source = source_file(target.partition(":")[0])
    with suppress(OSError):
        if source is not None:
            with os.scandir(source.parent) as files:
                times = [file.stat().st_mtime_ns for file in files if file.is_file()]
            return f"{len(times)} {max(times)}"
    return ""
