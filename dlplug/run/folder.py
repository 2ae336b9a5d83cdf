"""The folder of a run: allocated once, never overwritten, found again by name."""

import json
import os
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dlplug.errors import RunError
from dlplug.plugin.locks import hold, is_held, locked
from dlplug.run.lock import LOCK
from dlplug.storage.checkpoint import BEST, LAST, PREVIOUS
from dlplug.storage.files import storage_error, write_text
from dlplug.storage.runs import (
    LATEST,
    NAME,
    ROOT,
    STATUS,
    find_run,
    read_status,
    run_numbers,
    runs_of,
)

# The file that whoever trains the run holds.
HELD = ".lock"


@dataclass(frozen=True)
class Run:
    """``<root>/<name>/<number>/`` and the paths in it.

    Args:
        path: The folder.
    """

    path: Path

    @classmethod
    def create(cls, root: str | os.PathLike, name: str) -> "Run":
        """Allocate the next number of that name; two processes at once get two numbers.

        Raises:
            RunError: the name is no folder name, or the folder cannot be written.
        """
        if not NAME.fullmatch(name) or name == LATEST:
            raise RunError(
                f"{name!r} cannot be the name of a run",
                known="letters, digits, dot, dash and underscore, starting with a letter or digit,"
                f" and not {LATEST!r}",
            )
        folder = Path(root) / name
        try:
            folder.mkdir(parents=True, exist_ok=True)
            number = max([0, *run_numbers(folder)])
            while True:
                number += 1
                path = folder / str(number)
                try:
                    path.mkdir()  # fails if it exists, whoever made it
                    break
                except FileExistsError:
                    continue
            run = cls(path)
            run.checkpoints.mkdir()
        except OSError as error:
            raise RunError(f"cannot make a run folder in {folder}: {error.strerror}") from error
        run.update(status="running", started=_now(), finished=None, tests=0)
        return run

    @classmethod
    def find(cls, text: str, root: str | os.PathLike = ROOT) -> "Run":
        """The run that ``text`` means: a folder, a name (its newest run), or ``latest``.

        Raises:
            RunError: there is none; names what there is.
        """
        return cls(find_run(text, root))

    @classmethod
    def of_name(cls, root: str | os.PathLike, name: str) -> list["Run"]:
        """All runs of a name, oldest first."""
        return [cls(folder) for folder in runs_of(root, name)]

    @classmethod
    def unfinished(cls, root: str | os.PathLike, name: str) -> "Run | None":
        """The newest run of that name that ended early, or None.

        A run that some process is training right now does not count, nor does one that ended
        before its first checkpoint.
        """
        for run in reversed(cls.of_name(root, name)):
            if run.status["status"] != "finished" and run.has_last and not run.is_held():
                return run
        return None

    @property
    def name(self) -> str:
        """Under which the run stands."""
        return self.path.absolute().parent.name

    @property
    def number(self) -> int:
        """Counted from 1 for each name."""
        return int(self.path.absolute().name)

    @property
    def config(self) -> Path:
        """The config as it was given."""
        return self.path / "config.yaml"

    @property
    def resolved(self) -> Path:
        """The config with every value spelt out; itself a config."""
        return self.path / "resolved.yaml"

    @property
    def lock(self) -> Path:
        """Which component came from which distribution, version and file."""
        return self.path / LOCK

    @property
    def plugins(self) -> Path:
        """Folder of the plugin files as they were at the start; there only if there are any.

        Those of a later start that found others than were kept before are in ``plugins.1`` and so
        on.
        """
        return self.path / "plugins"

    @property
    def environment(self) -> Path:
        """Seeds, git commit, hardware, library versions, data fingerprint."""
        return self.path / "env.json"

    @property
    def metrics(self) -> Path:
        """One JSON object for each time that something was logged."""
        return self.path / "metrics.jsonl"

    @property
    def checkpoints(self) -> Path:
        """Folder of the checkpoints."""
        return self.path / "checkpoints"

    @property
    def last(self) -> Path:
        """The last checkpoint: where a training continues."""
        return self.checkpoints / LAST

    @property
    def previous(self) -> Path:
        """The checkpoint before the last one: where a training continues if that is damaged."""
        return self.checkpoints / PREVIOUS

    @property
    def has_last(self) -> bool:
        """Whether there is a checkpoint from which the training can go on."""
        return self.last.exists() or self.previous.exists()

    @property
    def best(self) -> Path:
        """The best checkpoint: what is tested and used."""
        return self.checkpoints / BEST

    @property
    def weights(self) -> Path:
        """What is validated, tested and used: the best checkpoint, else the last one."""
        return self.best if self.best.exists() else self.last

    @property
    def picture(self) -> Path:
        """The learning curves."""
        return self.path / "learning_curves.png"

    @property
    def test(self) -> Path:
        """Result of the last test."""
        return self.path / "test.json"

    @property
    def status(self) -> dict[str, Any]:
        """``status`` (running, finished, failed, interrupted), times, number of ``tests``.

        Raises:
            RunError: run.json is missing or damaged.
        """
        return read_status(self.path)

    def owns(self, checkpoint: Path) -> bool:
        """Whether a checkpoint is one of this run's own."""
        return checkpoint.resolve().is_relative_to(self.checkpoints.resolve())

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Be the one process that changes what the run records of itself.

        Raises:
            StorageError: the folder is gone.
        """
        with ExitStack() as stack:
            try:
                stack.enter_context(locked(self.path))
            except OSError as error:
                raise storage_error(self.path / STATUS, error) from error
            yield

    def update(self, **values: Any) -> dict[str, Any]:
        """Change entries of run.json; returns all of them.

        Raises:
            RunError: run.json is damaged.
            StorageError: it cannot be written.
        """
        with self.alone():
            return self.update_alone(**values)

    def update_alone(self, **values: Any) -> dict[str, Any]:
        """The same within `alone`."""
        path = self.path / STATUS
        status = (self.status if path.exists() else {}) | values
        write_text(path, json.dumps(status, indent=2) + "\n")
        return status

    def finish(self, status: str) -> None:
        """Record how the run ended: ``finished``, ``failed`` or ``interrupted``."""
        self.update(status=status, finished=_now())

    @contextmanager
    def hold(self) -> Iterator[None]:
        """Mark the run as being trained by this process, until it leaves or dies.

        Raises:
            RunError: another process is training it.
            StorageError: the disk is full, or the folder is gone.
        """
        path = self.path / HELD
        with ExitStack() as stack:
            try:
                hold(stack.enter_context(path.open("w")))
            except BlockingIOError:
                raise RunError(f"{self.path} is being trained by another process") from None
            except OSError as error:
                raise storage_error(path, error) from error
            yield

    def is_held(self) -> bool:
        """Whether some process is training the run right now; the kernel knows when it dies."""
        return is_held(self.path / HELD)


def _now() -> float:
    """Seconds since 1970."""
    return round(time.time(), 3)
