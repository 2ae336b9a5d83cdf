"""An exception of a plugin in one line: what it says, where it was raised, what to do about it."""

import importlib
import os
import re
import sys
import traceback
from typing import TYPE_CHECKING

from dlplug.plugin.names import one_line
from dlplug.plugin.own_project import project_named
from dlplug.plugin.spec import CORE, KINDS, PRESETS

if TYPE_CHECKING:
    from dlplug.plugin.component import Component

# Frames of the import system and of this package tell nothing about the plugin.
_OWN_FOLDERS = (os.path.dirname(__file__), os.path.dirname(importlib.__file__))
_LIBRARIES = re.compile(r"[/\\]site-packages[/\\](torch|lightning|torchmetrics)[/\\]")


def cause_of(error: BaseException) -> str:
    """``Type: message (file, line 3)``, the place being the plugin's innermost frame.

    A frame of PyTorch or Lightning is the place only where no other is.
    """
    text = f"{type(error).__name__}: {one_line(error)}"
    if isinstance(error, SyntaxError):
        return text  # says its place itself
    frames = _frames(error)
    # A module that has no such attribute says so in a line of PyTorch.
    frames = [f for f in frames if not _LIBRARIES.search(f.filename)] or frames
    return f"{text} ({frames[-1].filename}, line {frames[-1].lineno})" if frames else text


def _frames(error: BaseException) -> list[traceback.FrameSummary]:
    """Those of other code than the import system's and this package's."""
    return [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if not frame.filename.startswith("<")
        and os.path.dirname(frame.filename) not in _OWN_FOLDERS
    ]


def home_of(origin: "Component") -> str:
    """The file or folder of a plugin's own code, as far as it is imported; empty for dlplug's."""
    if origin.file:
        return os.path.realpath(origin.file)
    top = origin.target.partition(":")[0].partition(".")[0]
    path = getattr(sys.modules.get(top), "__file__", None)
    if origin.distribution == CORE or path is None:
        return ""
    is_package = hasattr(sys.modules[top], "__path__")
    return os.path.realpath(os.path.dirname(path) if is_package else path)


def place_in(error: BaseException, home: str) -> str:
    """`` (file, line 3)``: the innermost frame in the code of `home_of`; empty if there is none.

    A library's frames within tell less: what the plugin called it with is its authors' affair.
    """
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        path = os.path.realpath(frame.filename)
        if home and (path == home or path.startswith(home + os.sep)):
            return f" ({frame.filename}, line {frame.lineno})"
    return ""


def advice(origin: "Component", error: BaseException) -> str:
    """What the user can do when a plugin raised ``error``.

    Args:
        origin: The component, or module of hooks, that was imported or called.
        error: What it raised.
    """
    if origin.missing:
        return f"pip install {' '.join(origin.missing)}"
    if isinstance(error, ModuleNotFoundError) and error.name:
        absent = error.name.partition(".")[0]
        if origin.file and os.path.exists(
            os.path.join(os.path.dirname(origin.file), absent) + ".py"
        ):
            return (
                f"put {absent}.py and {origin.distribution} into a folder with an __init__.py,"
                f" import with 'from . import {absent}', and give the folder to --plugin"
            )
        if absent != origin.target.partition(":")[0].partition(".")[0]:
            return f"install what provides the module {absent!r}"
    blame = _line_to_correct(origin, error) or blame_for(origin)
    # Hooks run for every config; a component only for those that need it.
    is_alone = origin.kind in KINDS or origin.file or origin.distribution == CORE
    return blame if is_alone else f"{blame}; --block {origin.id} does without it"


def blame_for(origin: "Component") -> str:
    """Who has to mend what a component does wrong."""
    if origin.distribution == CORE:
        return "this is a fault of dlplug: report it with its traceback"
    if origin.file:
        return f"correct {origin.file}"
    if project := project_named(origin.distribution):
        return f"correct its code in {project.folder}"
    return f"update {origin.distribution} or tell its authors"


def _line_to_correct(origin: "Component", error: BaseException) -> str | None:
    """What its author does where the entry point is wrong, not the code; None otherwise."""
    if origin.file or origin.offered_by or not _is_of_line(origin, error):
        return None
    project = project_named(origin.distribution)
    correction = project and project.correction(origin.group, origin.name, origin.target)
    if origin.kind != PRESETS or not isinstance(error, FileNotFoundError):
        return correction
    if project and project.is_editable:
        return f"write that file, or {correction}"
    package, *folders = origin.target.partition(":")[0].split(".")
    along = f'{package} = ["{"/".join([*folders, "*.yaml"])}"] under [tool.setuptools.package-data]'
    if project:
        return f"take it along, by {along} in {project.file}, or {correction}"
    return f"{blame_for(origin)}; a file of the source is taken along by {along} in pyproject.toml"


def _is_of_line(origin: "Component", error: BaseException) -> bool:
    """Whether an entry point names what is not there, or is no component."""
    if isinstance(error, ModuleNotFoundError):
        return f"{origin.target.partition(':')[0]}.".startswith(f"{error.name}.")
    kinds = (AttributeError, TypeError, ValueError, FileNotFoundError)
    return isinstance(error, kinds) and not _frames(error)
