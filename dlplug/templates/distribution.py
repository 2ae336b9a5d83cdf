"""Writing a new plugin: a complete distribution whose own tests pass."""

import json
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from string import Template

from dlplug.errors import InvalidValueError
from dlplug.templates.names import Names

FOLDER = Path(__file__).parent
SUFFIX = ".template"
PACKAGE = "PACKAGE"
COMMON = "common"


@dataclass(frozen=True)
class Start:
    """What a plugin of one kind begins with.

    Attributes:
        folder: Its files in this package.
        module: Name of the module with the component.
        summary: One sentence for pyproject and README.
        requires: What its code imports, as in pyproject.
    """

    folder: str
    module: str
    summary: str
    requires: tuple[str, ...]


STARTS: dict[str, Start] = {
    "architectures": Start(
        "architecture", "network", "A small convolutional network.", ("torch>=2.10",)
    ),
    "losses": Start(
        "loss", "loss", "Generalised cross-entropy, for wrong labels.", ("torch>=2.10",)
    ),
    "callbacks": Start(
        "callback",
        "callback",
        "Follows how large the weights become.",
        ("lightning>=2.6.4", "torch>=2.10"),
    ),
    "datamodules": Start(
        "datamodule", "data", "Points on rings.", ("dlplug", "numpy", "torch>=2.10")
    ),
    "tasks": Start(
        "task", "task", "Learns to take noise out of its inputs.", ("dlplug", "torch>=2.10")
    ),
}
"""By plural of the kind."""


def write_distribution(names: Names, parent: str | os.PathLike) -> list[Path]:
    """Write a plugin into a new folder below ``parent``; nothing is overwritten.

    Args:
        names: Checked.
        parent: Folder; made where it is missing.
    Returns:
        The files, sorted.
    Raises:
        InvalidValueError: the folder is there already, or cannot be written.
    """
    parent = Path(parent)
    target = parent / names.distribution
    if target.exists() or target.is_symlink():
        raise InvalidValueError(
            f"'{target}' is there already",
            where="command line",
            fix="choose another name, or another folder with --path DIR",
        )
    try:
        parent.mkdir(parents=True, exist_ok=True)
        # All or nothing: an interruption leaves no half of a plugin under its name.
        with tempfile.TemporaryDirectory(dir=parent, prefix=f".{names.distribution}-") as made:
            draft = Path(made) / names.distribution
            for path, text in filled(names).items():
                place = draft / path
                place.parent.mkdir(parents=True, exist_ok=True)
                place.write_text(text, encoding="utf-8")
            draft.rename(target)  # which fails where another process was faster
    except OSError as error:
        raise InvalidValueError(
            f"cannot write '{target}': {error.strerror}",
            where="command line, --path",
            fix="name a folder that you may write to: --path DIR",
        ) from error
    return sorted(path for path in target.rglob("*") if path.is_file())


def filled(names: Names) -> dict[str, str]:
    """The files of a new plugin: relative path to text."""
    start = STARTS[names.kind]
    values = {
        "distribution": names.distribution,
        "package": names.package,
        "component": names.package,
        "class_name": names.class_name,
        "plural": names.kind,
        "module": start.module,
        "summary": start.summary,
        "dependencies": ", ".join(json.dumps(line) for line in start.requires),
    }
    found = {}
    for folder in (COMMON, start.folder):
        root = FOLDER / folder
        for path in sorted(root.rglob(f"*{SUFFIX}")):
            place = str(path.relative_to(root)).replace(PACKAGE, names.package)
            text = Template(path.read_text(encoding="utf-8")).substitute(values)
            found[place.removesuffix(SUFFIX)] = text
    return found
