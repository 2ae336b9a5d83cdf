"""The files that an example brings, written into the temporary folder of its component."""

from pathlib import Path
from typing import Any

from dlplug.plugin.targets import import_target
from dlplug.testing.example import Example

FOLDER = "{folder}"
"""In an argument's text: where the files are."""


def write_files(example: Example, folder: Path) -> None:
    """Write its texts, and have ``prepare`` write what is no text."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in example.files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    if example.prepare:
        import_target(example.prepare)(folder)


def arguments_in(example: Example, folder: Path) -> dict[str, Any]:
    """Its arguments, with the folder in the place of ``{folder}``."""
    return {
        name: value.replace(FOLDER, str(folder)) if isinstance(value, str) else value
        for name, value in example.arguments.items()
    }
