"""Where a config's data lie: a file, a folder, or a file inside an installed package."""

import importlib.util
import os
from pathlib import Path

from dlplug.errors import DataError, suggestion

PREFIX = "package:"


def resolve_path(text: str | os.PathLike) -> Path:
    """The file or folder that a config means; it exists.

    Args:
        text: A path, where ``~`` is the home folder, or ``package:NAME/inner/path`` for what an
            installed package brings along; NAME is what one imports.
    Raises:
        DataError: it does not exist, or the package is not installed.
    """
    text = os.fspath(text)
    if not text.startswith(PREFIX):
        return _existing(Path(text).expanduser(), text)
    name, _, inner = text.removeprefix(PREFIX).partition("/")
    if not name or not inner or ".." in Path(inner).parts:
        raise DataError(f"{text!r} names no file of a package", known="package:NAME/inner/path")
    # The specification of a top-level module is found without running any of its code.
    found = importlib.util.find_spec(name) if name.isidentifier() else None
    folders = list(found.submodule_search_locations or []) if found else []
    if not folders:
        raise DataError(
            f"{text!r}: no package {name!r} is installed",
            fix="pip install the distribution that provides it (their names may differ)",
        )
    candidates = [Path(folder, inner) for folder in folders]
    return next((path for path in candidates if path.exists()), None) or _existing(
        candidates[0], text
    )


def _existing(path: Path, text: str) -> Path:
    if path.exists():
        return path
    folder = path.parent
    names = sorted(p.name for p in folder.iterdir()) if folder.is_dir() else []
    what = "it" if names else f"the folder {folder}"
    raise DataError(
        f"{text!r}: {what} does not exist",
        known=", ".join(names[:20]) or None,
        fix=suggestion(path.name, names),
    )
