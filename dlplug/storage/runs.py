"""Which folder the name of a run means."""

import json
import os
import re
from pathlib import Path
from typing import Any

from dlplug.errors import RunError, suggestion

ROOT = "runs"
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
LATEST = "latest"
STATUS = "run.json"


def find_run(text: str, root: str | os.PathLike = ROOT) -> Path:
    """The folder of the run that ``text`` means: a folder, a name (its newest run), or ``latest``.

    Raises:
        RunError: there is none; names what there is.
    """
    if (Path(text) / STATUS).is_file():
        return Path(text)
    root = Path(root)
    if text == LATEST:
        runs = [run for name in run_names(root) for run in runs_of(root, name)]
        if runs:
            return max(runs, key=lambda run: (read_status(run)["started"], int(run.name)))
    elif runs := runs_of(root, text):
        return runs[-1]
    elif (root / text / STATUS).is_file():  # name/number
        return root / text
    names = run_names(root)
    raise RunError(
        f"there is no run {text!r}",
        where=str(root.absolute()),
        known=", ".join(names) or "no runs at all",
        fix=suggestion(text, names) or "give the path of a run folder, a name, or 'latest'",
    )


def runs_of(root: str | os.PathLike, name: str) -> list[Path]:
    """The folders of all runs of a name, oldest first."""
    if not NAME.fullmatch(name):
        return []
    numbers = sorted(run_numbers(Path(root) / name))
    folders = [Path(root) / name / str(number) for number in numbers]
    return [folder for folder in folders if (folder / STATUS).is_file()]


def run_names(root: Path) -> list[str]:
    """Every name under which there are runs."""
    folders = sorted(p for p in root.iterdir() if p.is_dir()) if root.is_dir() else []
    return [folder.name for folder in folders if runs_of(root, folder.name)]


def run_numbers(folder: Path) -> list[int]:
    """Every number of a name that is taken, in no order."""
    return [int(p.name) for p in folder.iterdir() if p.name.isdigit()] if folder.is_dir() else []


def read_status(folder: Path) -> dict[str, Any]:
    """What a run's folder says of how the run stands.

    Raises:
        RunError: the file is missing or damaged.
    """
    path = folder / STATUS
    try:
        status = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise RunError(f"{path} is missing or damaged: {error}") from error
    is_whole = isinstance(status, dict) and {"status", "started"} <= status.keys()
    if not is_whole or not isinstance(status["started"], (int, float)):
        raise RunError(f"{path} is damaged: it does not say how the run stands")
    return status
