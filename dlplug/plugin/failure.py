"""An exception of a plugin in one line: what it says, where it was raised, what to do about it."""

import importlib
import os
import traceback
from typing import TYPE_CHECKING

from dlplug.plugin.names import one_line
from dlplug.plugin.spec import CORE, KINDS

if TYPE_CHECKING:
    from dlplug.plugin.component import Component

# Frames of the import system and of this package tell nothing about the plugin.
_OWN_FOLDERS = (os.path.dirname(__file__), os.path.dirname(importlib.__file__))


def cause_of(error: BaseException) -> str:
    """``Type: message (file, line 3)``, the place being the plugin's innermost frame."""
    text = f"{type(error).__name__}: {one_line(error)}"
    if isinstance(error, SyntaxError):
        return text  # says its place itself
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if not frame.filename.startswith("<")
        and os.path.dirname(frame.filename) not in _OWN_FOLDERS
    ]
    return f"{text} ({frames[-1].filename}, line {frames[-1].lineno})" if frames else text


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
    if origin.distribution == CORE:
        return "this is a fault of dlplug: report it with its traceback"
    if origin.file:
        return f"correct {origin.file}"
    ask = f"update {origin.distribution} or tell its authors"
    # Hooks run for every config; a component only for those that need it.
    return ask if origin.kind in KINDS else f"{ask}; --block {origin.id} does without it"
