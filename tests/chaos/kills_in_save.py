"""A kill within a save: no file is torn, the one before is there, the next start leaves no litter.

Processes that do nothing but save, every other one in the background, are killed with SIGKILL at
random moments. A kill counts when it left a temporary file: then it came within a save. The
temporary folder of the system is on another file system where there is one.
"""

import os
import random
import shutil
import signal
import tempfile
import time
from pathlib import Path

import torch

from dlplug.storage.files import remove_litter
from dlplug.storage.manifest import damage
from dlplug.storage.saver import Saver
from tests.chaos.outcome import Outcome
from tests.chaos.saves import litter, resumable, save

ELSEWHERE = (Path("/dev/shm"), Path("/run"), Path("/tmp"))
LONGEST = 0.02  # seconds that a process saves after its first save
SIZE = 10_000  # numbers in a checkpoint


def inject(count: int, folder: Path) -> Outcome:
    """Kill within ``count`` saves; more processes are killed than that, by the luck of the moment.

    Raises:
        RuntimeError: kills hardly ever come within a save.
    """
    elsewhere = _temporary_folder(folder)
    chance, kills, injected, contained = random.Random(0), 0, 0, 0
    newest = 0
    save(folder, newest, size=SIZE)
    try:
        while injected < count:
            kills += 1
            if kills > 100 * count:
                raise RuntimeError(f"{injected} of {kills} kills came within a save")
            saver = Saver() if kills % 2 else None
            _kill_a_saving_process(folder, newest + 1, saver, elsewhere, LONGEST * chance.random())
            has_fired = bool(litter(folder))
            is_whole = all(damage(path) is None for path in folder.glob("*.ckpt"))
            found = resumable(folder)
            remove_litter(folder)  # as a training does when it goes on
            injected += has_fired
            contained += has_fired and is_whole and found > newest and not litter(folder)
            newest = found
        is_clean = elsewhere is None or not os.listdir(elsewhere)
    finally:
        if elsewhere is not None:
            shutil.rmtree(elsewhere)
    place = "the same file system" if elsewhere is None else "another file system"
    measured = {"kills": kills, "saves": newest, "temporary folder": place}
    return Outcome(injected, contained if is_clean else 0, measured)


def _kill_a_saving_process(
    folder: Path, number: int, saver: Saver | None, temporary: Path | None, seconds: float
) -> None:
    """Let a process save ``number``, ``number + 1``, ...; kill it some time after the first."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            torch.set_num_threads(1)  # the others have not come along through the fork
            if temporary is not None:
                tempfile.tempdir = os.environ["TMPDIR"] = str(temporary)
            save(folder, number, size=SIZE, saver=saver)
            if saver is not None:
                saver.finish()
            os.write(writer, b".")
            while True:
                number += 1
                save(folder, number, size=SIZE, saver=saver)
        finally:
            os._exit(1)  # only an error comes here
    os.close(writer)
    os.read(reader, 1)  # its first save is done
    time.sleep(seconds)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    os.close(reader)


def _temporary_folder(folder: Path) -> Path | None:
    """A new folder on another file system, or None where there is none."""
    device = folder.stat().st_dev
    others = (p for p in ELSEWHERE if p.is_dir() and p.stat().st_dev != device)
    place = next((p for p in others if os.access(p, os.W_OK)), None)
    return None if place is None else Path(tempfile.mkdtemp(dir=place))
