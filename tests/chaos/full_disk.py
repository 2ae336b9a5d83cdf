"""A full disk: the message names the bytes, the checkpoint that was there stays.

The disk is a small file system in memory with a random number of bytes left. The save is waited
for, or made in the background, where it stops the training or is tried again when there is room.
"""

import contextlib
import io
import random
import subprocess
from collections.abc import Iterator
from pathlib import Path

from dlplug.errors import StorageError
from tests.chaos.failing_disk import SAVERS
from tests.chaos.outcome import Outcome
from tests.chaos.saves import litter, resumable, save

SIZE = 50_000  # numbers in a checkpoint
FILLER = "filler"


@contextlib.contextmanager
def small_disk(folder: Path, size: str = "1m") -> Iterator[Path]:
    """A file system of its own at ``folder``.

    Args:
        folder: Made for it.
        size: As ``mount`` understands it.
    Raises:
        PermissionError: this process may not mount one.
    """
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
    try:
        subprocess.run(command, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise PermissionError("this process may not mount a file system") from error
    try:
        yield folder
    finally:
        # Lazily: a checkpoint that was read from it may still be mapped.
        subprocess.run(["umount", "-l", str(folder)], check=True)


def fill(disk: Path, left: int) -> None:
    """Write a file until ``left`` bytes are free, in whole blocks of 4,096."""
    statistics = subprocess.run(
        ["stat", "-f", "-c", "%a %S", str(disk)], check=True, capture_output=True, text=True
    )
    blocks, size = map(int, statistics.stdout.split())
    (disk / FILLER).write_bytes(bytes(max(0, blocks - left // size) * size))


def inject(count: int, folder: Path) -> Outcome:
    """Let ``count`` saves meet a full disk."""
    chance = random.Random(0)
    injected = contained = 0
    with small_disk(folder / "disk") as disk:
        while injected < count:
            way = list(SAVERS)[injected % len(SAVERS)]
            has_fired, is_contained = _try(disk, way, chance.randrange(4 * SIZE + 20_000))
            injected += has_fired
            contained += has_fired and is_contained
    return Outcome(injected, contained, {"bytes of the disk": 2**20})


def _try(disk: Path, way: str, left: int) -> tuple[bool, bool]:
    save(disk, 1)
    fill(disk, left)
    saver, error = SAVERS[way](), None
    with contextlib.redirect_stderr(io.StringIO()) as said:
        try:
            save(disk, 2, size=SIZE, saver=saver)
            if saver is not None:
                saver.wait()
            stays = resumable(disk) == 1 and not litter(disk)
            if way == "continue":
                (disk / FILLER).unlink()
                save(disk, 3, saver=saver)
            if saver is not None:
                saver.finish()
        except StorageError as raised:
            error = raised
            stays = resumable(disk) == 1 and not litter(disk)
    text = said.getvalue() if way == "continue" else str(error)
    has_fired = "No space left on device" in text
    held = stays and f"the checkpoint has {4 * SIZE:,} bytes" in text and "bytes are free" in text
    if way == "continue":
        held = held and error is None and resumable(disk) == 3
    else:
        held = held and error is not None and error.exit_code == 74
    (disk / FILLER).unlink(missing_ok=True)
    save(disk, 4)
    return has_fired, held and resumable(disk) == 4
