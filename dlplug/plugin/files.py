"""Where the code of plugin files is imported from: ``dlplug.plugin.files.my_model`` is my_model.py.

A class must be importable by its module's name wherever it is unpickled: in the workers of a data
loader and in every process of a training, whichever way they are started. So the files stand in an
environment variable, which each of those inherits, and importing this module, which a child does
by itself when it unpickles, is all that it takes. A file that has changed since it was entered is
refused: the processes of one training run the same code. For the same reason nothing is imported
that the hash does not cover: compiled modules, caches, links to other folders.
"""

import json
import os
import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from importlib.util import spec_from_file_location
from pathlib import Path

from dlplug.errors import PluginError
from dlplug.plugin.hashes import file_hash, file_hashes, python_files, tree_hash

VARIABLE = "DLPLUG_PLUGIN_FILES"
# A module that has this counts as a package: the import system looks for modules below it, and
# finds them by the finder at the end of this file alone.
__path__: list[str] = []
_PREFIX = f"{__name__}."
# By path and hash of a file or folder that was compared in this process: the hash of each file.
_compared: dict[tuple[str, str], dict[Path, str | None]] = {}


def enter(module: str, path: Path, digest: str) -> str:
    """Make ``path`` importable in this process and in those that it starts.

    Args:
        module: Name below this one, without dots.
        path: A Python file, or a folder with an ``__init__.py``; absolute.
        digest: `tree_hash` of it.
    Returns:
        The full name of the module.
    """
    name, before = f"{__name__}.{module}", entered()
    if before.get(module) != [str(path), digest]:
        # What was imported under this name before is another code.
        for known in [key for key in sys.modules if f"{key}.".startswith(f"{name}.")]:
            del sys.modules[known]
        os.environ[VARIABLE] = json.dumps({**before, module: [str(path), digest]})
    return name


def entered() -> dict[str, list[str]]:
    """Path and hash of each module.

    Raises:
        PluginError: the variable holds something else.
    """
    text = os.environ.get(VARIABLE) or "{}"
    try:
        known = json.loads(text)
        if all(list(map(type, pair)) == [str, str] for pair in known.values()):
            return known
    except (ValueError, TypeError, AttributeError, RecursionError):
        pass
    raise PluginError(
        f"{VARIABLE} holds {text[:80]!r}, which dlplug has not written",
        where="the environment",
        fix=f"unset {VARIABLE}; plugin files are named by --plugin FILE",
    )


def path_of(module: str) -> Path | None:
    """The file or folder behind ``dlplug.plugin.files.my_model``; None for any other module."""
    if not module.startswith(_PREFIX):
        return None
    known = entered().get(module.removeprefix(_PREFIX).partition(".")[0])
    return Path(known[0]) if known else None


class _Loader(SourceFileLoader):
    """Compiles what stands in the file, whose hash was compared, not what a cache holds of it."""

    def path_stats(self, path: str):
        raise OSError("no cache")


class _Finder(MetaPathFinder):
    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: object = None
    ) -> ModuleSpec | None:
        source = path_of(fullname)
        if source is None:
            return None
        name, _, below = fullname.removeprefix(_PREFIX).partition(".")
        if below:
            found = PathFinder.find_spec(fullname, path)
            if found is None or found.origin is None:  # a folder without code of its own
                return found
            file, folders = Path(found.origin), found.submodule_search_locations
        else:
            is_folder = source.is_dir()
            file = source / "__init__.py" if is_folder else source
            folders = [str(source)] if is_folder else None
        _require_entered(file, source, entered()[name][1])
        return spec_from_file_location(
            fullname, loader=_Loader(fullname, str(file)), submodule_search_locations=folders
        )


def _require_entered(file: Path, source: Path, digest: str) -> None:
    """Refuse a file of ``source`` that the hash does not cover, or that is not as it was."""
    known = (str(source), digest)
    # The whole is compared once; of what is imported later from it, the file alone.
    is_first = known not in _compared
    hashes = file_hashes(source) if is_first else _compared[known]
    if file not in hashes:
        if file in python_files(source):  # it is new
            raise ImportError(f"{source} has changed since this program began to use it")
        raise ImportError(
            f"{file} is none of the Python files of {source}, whose hash says which code it is"
        )
    same = tree_hash(source, hashes) == digest if is_first else file_hash(file) == hashes[file]
    if not same:
        raise ImportError(f"{source} has changed since this program began to use it")
    _compared[known] = hashes


# Before the one that looks into folders, which would take what a cache holds.
sys.meta_path.insert(0, _Finder())
