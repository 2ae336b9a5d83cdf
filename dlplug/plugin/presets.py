"""Presets: YAML files inside a distribution's package, found without importing it."""

import importlib.util
import re
from itertools import takewhile
from pathlib import Path

from dlplug.errors import suggestion

SUFFIXES = (".yaml", ".yml")
# With which a line of a comment begins that is meant for a program.
FOR_EDITORS = ("yaml-language-server:", "-*-", "vim:")
# Of a folder or a file's stem: a hook may offer any text.
_NAME = re.compile(r"\w[\w.-]*")


def preset_file(target: str) -> Path:
    """The file behind an entry point's value.

    Args:
        target: ``package.folder:stem``: ``acme_vision.presets:small`` is ``presets/small.yaml`` in
            the package ``acme_vision``. The folder need not be a module.
    Raises:
        FileNotFoundError: there is no such package or file; the message holds the nearest one.
        ValueError: the target leads elsewhere than below the package.
    """
    module, _, stem = target.partition(":")
    package, *folders = module.split(".")
    if not all(_NAME.fullmatch(part) for part in (package, *folders, stem)):
        raise ValueError(f"{target!r} is not of the form package.folder:name")
    # For a name without a dot this imports nothing.
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise FileNotFoundError(f"there is no package {package!r}")
    places = [Path(place, *folders) for place in spec.submodule_search_locations]
    for path in (place / f"{stem}{suffix}" for place in places for suffix in SUFFIXES):
        if path.is_file():
            return path
    known = {path.stem for place in places for path in place.glob("*.y*ml")}
    hint = suggestion(stem, known)
    raise FileNotFoundError(
        f"no file {stem}.yaml in {' or '.join(map(str, places))}" + (f"; {hint}" if hint else "")
    )


def comment_of(path: Path) -> str:
    """The comment at the top of a YAML file, line by line; lines for an editor are left out."""
    with path.open(encoding="utf-8", errors="replace") as file:
        lines = takewhile(lambda line: line.startswith("#"), file)
        texts = [line.lstrip("#").strip() for line in lines]
    return "\n".join(text for text in texts if not text.startswith(FOR_EDITORS))
