"""The runs that are there: listed, shown, verified, and removed when nobody needs them."""

import json
import os
import shutil
import stat
import time
from contextlib import suppress
from pathlib import Path
from secrets import token_hex
from typing import Any

from dlplug.errors import RunError
from dlplug.plugin.locks import locked
from dlplug.run.folder import Run
from dlplug.storage import manifest
from dlplug.storage.runs import STATUS

DAMAGED = "damaged"
# How the name of a folder ends that is being deleted.
REMOVED = ".removed"


def all_runs(root: str | os.PathLike, name: str | None = None) -> list[Run]:
    """Every run under ``root``, or those of one name, the newest first.

    Raises:
        RunError: there is none of that name.
    """
    if name is not None:
        runs = Run.of_name(root, name)
        if not runs:
            Run.find(name, root)  # says what there is
    else:
        folders = sorted(p for p in Path(root).iterdir()) if Path(root).is_dir() else []
        runs = [run for folder in folders for run in Run.of_name(root, folder.name)]
    return sorted(runs, key=lambda run: (_status(run)["started"], run.number), reverse=True)


def summary(run: Run) -> dict[str, Any]:
    """What a list shows of a run, as plain data.

    Returns:
        ``name``, ``number``, ``path``, ``status`` (`DAMAGED` where run.json or test.json cannot be
        read), ``started`` (seconds since 1970), ``seconds``, ``tests`` (how often the test split
        was looked at), ``metrics`` of the last test, and ``bytes`` on the disk.
    """
    status, metrics = _status(run), _test_metrics(run)
    state = DAMAGED if metrics is None else status["status"]
    if state == "running" and not run.is_held():
        state = "died"  # its process ended without a word
    end = status.get("finished") or (time.time() if state == "running" else None)
    return {
        "name": run.name,
        "number": run.number,
        "path": str(run.path),
        "status": state,
        "started": status["started"],
        "seconds": None if end is None else round(end - status["started"], 1),
        "tests": status.get("tests", 0),
        "metrics": metrics or {},
        "bytes": _size(run.path),
    }


def checkpoints(run: Run) -> list[dict[str, Any]]:
    """Each checkpoint with its size and what is wrong with it (None when it is intact)."""
    return [
        {"name": path.name, "bytes": _size(path), "damage": manifest.damage(path)}
        for path in sorted(run.checkpoints.glob("*.ckpt"))
    ]


def removable(
    runs: list[Run], statuses: tuple[str, ...] = (), keep: int = 0, days: float = 0.0
) -> list[Run]:
    """Those runs that a clean-up would remove; never one that is being trained.

    Args:
        runs: The newest first.
        statuses: Only runs in one of these states; empty for any but `DAMAGED`.
        keep: The newest so many of each name stay.
        days: Only runs that started longer ago.
    """
    kept: dict[str, int] = {}
    found = []
    for run in runs:
        kept[run.name] = kept.get(run.name, 0) + 1
        shown = summary(run)
        is_old = time.time() - shown["started"] >= days * 86400
        is_meant = shown["status"] in statuses if statuses else shown["status"] != DAMAGED
        is_free = shown["status"] != "running" and not run.is_held()
        if kept[run.name] > keep and is_old and is_meant and is_free:
            found.append(run)
    return found


def remove(run: Run) -> int:
    """Delete a run's folder; returns the bytes that it took.

    Raises:
        RunError: it is being trained, or the folder is no run's.
    """
    if not (run.path / STATUS).is_file():
        raise RunError(f"{run.path} is no run")
    size = _size(run.path)
    with run.hold(), locked(run.path):
        # Renamed first: what a kill leaves would be taken for the run.
        folder = run.path.resolve()  # a link is not followed
        rest = folder.rename(folder.with_name(f".{run.number}.{token_hex(8)}{REMOVED}"))
        shutil.rmtree(rest)
    return size


def remove_rests(root: str | os.PathLike) -> None:
    """Delete what removals that were killed have left under ``root``."""
    for rest in Path(root).glob(f"*/.[0-9]*{REMOVED}"):
        # Whoever is still removing it is waited for.
        with suppress(FileNotFoundError), locked(rest):
            shutil.rmtree(rest)


def _status(run: Run) -> dict[str, Any]:
    """What run.json says; of a damaged one, that it is damaged, and from when it is."""
    try:
        return run.status
    except RunError:
        with suppress(FileNotFoundError):
            return {"status": DAMAGED, "started": (run.path / STATUS).stat().st_mtime}
        raise


def _test_metrics(run: Run) -> dict[str, float] | None:
    """Of the last test; empty where there was none, and None where test.json is damaged."""
    try:
        metrics = json.loads(run.test.read_text(encoding="utf-8"))["metrics"]
        return {name: float(value) for name, value in metrics.items()}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return None


def _size(place: Path) -> int:
    """Bytes on the disk of a file or a folder, each file once: a checkpoint may have two names."""
    sizes: dict[int, int] = {}
    for path in (place, *place.rglob("*")):
        # A training may rename or remove a file at any moment.
        with suppress(FileNotFoundError):
            state = path.stat()
            if stat.S_ISREG(state.st_mode):
                sizes[state.st_ino] = state.st_size
    return sum(sizes.values())
