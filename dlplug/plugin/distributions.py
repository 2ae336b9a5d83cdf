"""Which installed distributions are plugins: one pass over ``sys.path``, importing none of them.

A distribution that is found several times (a stale ``.egg-info`` in a checkout beside the
``.dist-info`` in site-packages) counts once. The folder that comes first on ``sys.path`` wins, as
its modules do; within one folder the higher version wins, then ``.dist-info``.
"""

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from importlib import metadata

from dlplug.plugin.names import distribution_name, one_line
from dlplug.plugin.spec import CORE
from dlplug.plugin.targets import Line, parse_entry_points


@dataclass
class Found:
    """One installed copy of a distribution, as its metadata tells.

    Args:
        name: Normalised, such as ``acme-losses``.
        version: As written; ``?`` where the metadata has none.
        folder: Where its metadata folder lies, without symbolic links.
        form: ``dist-info`` or ``egg-info``.
        summary: One line, may be empty.
        requires: Requirements as in Requires-Dist.
        extras: Extras that it declares (Provides-Extra).
        lines: Its entry points that concern dlplug.
        problem: Why the entry points cannot be read; None if they can.
        others: Further copies, which do not count.
    """

    name: str
    version: str
    folder: str
    form: str
    summary: str = ""
    requires: tuple[str, ...] = ()
    extras: tuple[str, ...] = ()
    lines: list[Line] = field(default_factory=list)
    problem: str | None = None
    others: "list[Found]" = field(default_factory=list)


def find_plugins(distributions: Iterable[metadata.Distribution] | None = None) -> list[Found]:
    """Every distribution with an entry point for dlplug, by name.

    Args:
        distributions: Where to look instead of ``sys.path``, best first.
    """
    pool = list(metadata.distributions() if distributions is None else distributions)
    copies: dict[str, list[Found]] = {}
    for found in map(_read, filter(_concerns_dlplug, pool)):
        copies.setdefault(found.name, []).append(found)
    # The built-ins stand in a table: metadata goes stale in a checkout.
    copies.pop(CORE, None)
    for name, known in copies.items():
        # An earlier copy without entry points counts too: its modules are the ones imported.
        others = pool if distributions is not None else list(metadata.distributions(name=name))
        if len(others) > len(known):
            known[:] = [copy for copy in map(_read, others) if copy.name == name]
    return [_choose(copies[name]) for name in sorted(copies)]


def is_installed(name: str) -> bool:
    """Whether a distribution of that name has metadata on ``sys.path``; dlplug itself always is."""
    return distribution_name(name) == CORE or any(True for _ in metadata.distributions(name=name))


def _concerns_dlplug(distribution: metadata.Distribution) -> bool:
    try:
        text = distribution.read_text("entry_points.txt") or ""
    except (OSError, UnicodeError):
        return True
    # Most distributions have nothing to do with dlplug; the plain search costs a microsecond.
    return "dlplug" in text and bool(parse_entry_points(text))


def _choose(copies: list[Found]) -> Found:
    folders = list(dict.fromkeys(copy.folder for copy in copies))
    distinct = {(copy.folder, copy.version, copy.form): copy for copy in copies}
    ranked = sorted(distinct.values(), key=_rank_in_folder, reverse=True)
    first, *others = sorted(ranked, key=lambda copy: folders.index(copy.folder))
    first.others = others
    return first


def _rank_in_folder(copy: Found) -> tuple[list[int], str, bool]:
    numbers = [int(digits) for digits in re.findall(r"\d+", copy.version)]
    return numbers, copy.version, copy.form == "dist-info"


def _read(distribution: metadata.Distribution) -> Found:
    # Parsing the metadata costs 0.1 ms and more; all fields are taken from one parse.
    try:
        message = distribution.metadata
        fields = {key: message.get(key) for key in ("Name", "Version", "Summary")}
        requires = message.get_all("Requires-Dist") or distribution.requires or ()
        extras, problem = message.get_all("Provides-Extra") or (), None
    except Exception as error:
        # One unreadable file must not keep the others from being found.
        fields, requires, extras, problem = {}, (), (), error
    try:
        lines = parse_entry_points(distribution.read_text("entry_points.txt") or "")
    except (OSError, UnicodeError) as error:
        lines, problem = [], error
    return Found(
        name=distribution_name(fields.get("Name") or _stem(distribution)),
        version=one_line(fields.get("Version") or "?"),
        folder=os.path.realpath(str(distribution.locate_file(""))),
        form="dist-info" if distribution.read_text("PKG-INFO") is None else "egg-info",
        summary=one_line(fields.get("Summary") or ""),
        requires=tuple(requires),
        extras=tuple(extras),
        lines=lines,
        problem=problem and f"its metadata cannot be read: {type(problem).__name__}: {problem}",
    )


def _stem(distribution: metadata.Distribution) -> str:
    # A half-removed distribution has lost its METADATA; its folder still tells the name.
    return getattr(getattr(distribution, "_path", None), "name", "unknown").partition("-")[0]
