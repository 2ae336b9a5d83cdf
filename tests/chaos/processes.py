"""Processes of trainings, with caches of their own."""

import os
from pathlib import Path

from tests import forked
from tests.forked.client import Forked

ROOT = Path(__file__).parents[2]


def environment(folder: Path) -> dict[str, str]:
    """Of every process of a training: one thread, tests importable, caches in ``folder``."""
    own = {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "XDG_CACHE_HOME": str(folder)}
    return os.environ | own


def start(arguments: list[str], folder: Path, cache: Path) -> Forked:
    """Start ``dlplug ARGUMENTS`` in a folder, where ``output.txt`` takes what it says.

    Args:
        arguments: Of the command line.
        folder: In which it runs.
        cache: For the caches of plugins and facts, so that kills cannot hurt the user's.
    """
    words = ["-m", "dlplug", *arguments]
    with (folder / "output.txt").open("ab") as output, open(os.devnull) as nothing:
        streams = (nothing.fileno(), output.fileno(), output.fileno())
        return forked.start(words, folder, environment(cache), streams)
