"""Where the code of plugin files is imported from: ``dlplug.plugin.files.my_model`` is my_model.py.

A class must be importable by its module's name wherever it is unpickled: in the workers of a data
loader and in every process of a training, whichever way they are started. So the files stand in an
environment variable, which each of those inherits, and importing this module, which a child does
by itself when it unpickles, is all that it takes. A file that has changed since it was entered is
refused: the processes of one training run the same code.
"""

import json
import os
import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, SourceFileLoader
from importlib.util import spec_from_file_location
from pathlib import Path

from dlplug.plugin.hashes import tree_hash

VARIABLE = "DLPLUG_PLUGIN_FILES"
# A module that has this counts as a package: the import system looks for modules below it, and
# finds them by the finder at the end of this file alone.
__path__: list[str] = []


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
    """Path and hash of each module."""
    return json.loads(os.environ.get(VARIABLE) or "{}")


def path_of(module: str) -> Path | None:
    """The file or folder behind ``dlplug.plugin.files.my_model``; None for any other module."""
    known = entered().get(module.removeprefix(f"{__name__}.").partition(".")[0])
    return Path(known[0]) if known and module.startswith(f"{__name__}.") else None


class _Loader(SourceFileLoader):
    """Compiles what stands in the file, whose hash was compared, not what a cache holds of it."""

    def path_stats(self, path: str):
        raise OSError("no cache")


class _Finder(MetaPathFinder):
    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: object = None
    ) -> ModuleSpec | None:
        source = path_of(fullname)
        if source is None or "." in fullname.removeprefix(f"{__name__}."):
            return None
        if tree_hash(source) != entered()[fullname.rpartition(".")[2]][1]:
            raise ImportError(f"{source} has changed since this program began to use it")
        is_folder = source.is_dir()
        file = str(source / "__init__.py" if is_folder else source)
        return spec_from_file_location(
            fullname,
            loader=_Loader(fullname, file),
            submodule_search_locations=[str(source)] if is_folder else None,
        )


sys.meta_path.append(_Finder())
