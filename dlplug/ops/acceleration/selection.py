"""Which modules are meant: globs over their names."""

from collections.abc import Iterable
from fnmatch import fnmatchcase

import torch

from dlplug.errors import OpError, suggestion


def globs_of(given: str | Iterable[str] | None, name: str) -> tuple[str, ...] | None:
    """The globs as a tuple; None stays None."""
    if given is None:
        return None
    globs = (given,) if isinstance(given, str) else tuple(given)
    for glob in globs:
        if not isinstance(glob, str) or not glob:
            raise OpError(
                f"{name} holds {glob!r}, which is no glob over names of modules",
                where="accelerate",
                fix=f"{name}=['encoder.*'] for example",
            )
    return globs


def selected(
    model: torch.nn.Module, include: tuple[str, ...] | None, exclude: tuple[str, ...]
) -> dict[str, tuple[torch.nn.Module, bool]]:
    """Every module, by the first of its names, and whether it is meant.

    A glob means the modules whose name it matches, with everything below them. A module that
    stands in several places is excluded if one of its names is.

    Raises:
        OpError: A glob matches no module.
    """
    names: dict[torch.nn.Module, list[str]] = {}
    for name, module in model.named_modules(remove_duplicate=False):
        names.setdefault(module, []).append(name)
    known = [name for found in names.values() for name in found]
    for option, globs in (("include", include or ()), ("exclude", exclude)):
        for glob in globs:
            if not any(fnmatchcase(name, glob) for name in known):
                raise _matches_nothing(option, glob, known)
    chosen = {}
    for module, found in names.items():
        is_in = include is None or any(_is_meant(name, include) for name in found)
        is_out = any(_is_meant(name, exclude) for name in found)
        chosen[found[0]] = (module, is_in and not is_out)
    return chosen


def _is_meant(name: str, globs: tuple[str, ...]) -> bool:
    parts = name.split(".")
    above = [".".join(parts[:count]) for count in range(1, len(parts) + 1)]
    return any(fnmatchcase(prefix, glob) for prefix in above for glob in globs)


def _matches_nothing(option: str, glob: str, known: list[str]) -> OpError:
    shown = [name for name in known if name]
    known_text = ", ".join(shown[:12]) + (f", ... ({len(shown)} in all)" if len(shown) > 12 else "")
    return OpError(
        f"{option}: no module of the model is called '{glob}'",
        where="accelerate",
        known=known_text or "the model has no submodules",
        fix=suggestion(glob, shown) or "a glob such as 'encoder.*', or the name of a module",
    )
