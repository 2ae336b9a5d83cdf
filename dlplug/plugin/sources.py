"""Where the code of a module or distribution lies, and its hash; nothing is imported."""

import importlib.util
from importlib import metadata
from pathlib import Path

from dlplug.plugin.files import path_of
from dlplug.plugin.hashes import tree_hash


def package_of(module: str) -> str:
    """The package of a dotted module; two levels of it where the first is shared by others.

    ``acme_vision.resnet`` belongs to ``acme_vision``; in the namespace package ``google``, which
    has no file, ``google.vision.net`` belongs to ``google.vision``.
    """
    parts = module.split(".")
    spec = _spec(parts[0])
    is_shared = spec is not None and spec.origin is None
    return ".".join(parts[:2]) if is_shared else parts[0]


def source_file(module: str) -> Path | None:
    """The file of a module, be it installed in place; None where it has none."""
    if (path := path_of(module)) is not None:
        return path / "__init__.py" if path.is_dir() else path
    first, *rest = module.split(".")
    spec = _spec(first)
    if spec is None:
        return None
    if not rest:
        return Path(spec.origin) if spec.has_location and spec.origin else None
    for folder in spec.submodule_search_locations or ():
        stem = Path(folder, *rest)
        for path in (stem.with_name(f"{stem.name}.py"), stem / "__init__.py"):
            if path.is_file():
                return path
        # Compiled: its name holds the Python version.
        for path in sorted(stem.parent.glob(f"{stem.name}.*.so")):
            return path
    return None


def package_hash(package: str) -> str | None:
    """`tree_hash` of a package or of a module beside others; None when it has no file."""
    file = source_file(package)
    if file is None:
        return None
    return tree_hash(file.parent if file.name == "__init__.py" else file)


def is_from_index(found: metadata.Distribution) -> bool:
    """Whether the version says which code it is.

    It does for what an installer took from a package index. It does not for what was installed in
    place, from a folder or from a repository, which ``direct_url.json`` tells (PEP 610), nor for a
    checkout with its ``.egg-info``.
    """
    try:
        return found.read_text("PKG-INFO") is None and not found.read_text("direct_url.json")
    except (OSError, UnicodeError):
        return False


def packages_of(found: metadata.Distribution) -> list[str]:
    """The packages of a distribution, as far as its metadata names them; sorted.

    By ``top_level.txt``, which setuptools writes, or the targets of its entry points; else the
    package is taken to be called like the distribution.
    """
    try:
        listed = (found.read_text("top_level.txt") or "").split()
        named = [entry.value for entry in found.entry_points]
    except (OSError, ValueError):
        listed, named = [], []
    modules = [value.partition(":")[0].strip() for value in named]
    name = str(found.metadata.get("Name") or "").replace("-", "_")
    return sorted({*(listed or map(package_of, modules))} or {name})


def _spec(package: str):
    # For a name without a dot this imports nothing.
    try:
        return importlib.util.find_spec(package)
    except (ImportError, ValueError, AttributeError):
        return None
