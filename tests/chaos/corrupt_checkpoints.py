"""A damaged checkpoint: it is found before anything in it is unpickled.

Bits are flipped, files cut short or grown, blocks set to zero, all at random places.
"""

import random
from pathlib import Path
from unittest import mock

import torch

from dlplug.errors import CheckpointError
from dlplug.storage import manifest
from dlplug.storage.checkpoint import read_checkpoint
from tests.chaos.outcome import Outcome
from tests.chaos.saves import save


def inject(count: int, folder: Path) -> Outcome:
    """Damage a checkpoint ``count`` times."""
    path = save(folder, 1)
    content, chance = path.read_bytes(), random.Random(0)
    injected = contained = 0
    with mock.patch.object(torch, "load", side_effect=AssertionError("it was unpickled")):
        while injected < count:
            damaged = corrupted(content, chance)
            if damaged == content:
                continue
            path.write_bytes(damaged)
            injected += 1
            # By the manifest's hash alone, and by whoever reads it.
            contained += manifest.damage(path) is not None and _is_found(path)
    return Outcome(injected, contained, {"bytes of the file": len(content)})


def corrupted(content: bytes, chance: random.Random) -> bytes:
    """The bytes with a flipped bit, cut short, grown, or with a block of zeros."""
    kind, place = chance.choice(["flip", "cut", "grow", "zeros"]), chance.randrange(len(content))
    if kind == "flip":
        return content[:place] + bytes([content[place] ^ 1 << place % 8]) + content[place + 1 :]
    if kind == "cut":
        return content[:place]
    if kind == "grow":
        return content + chance.randbytes(place + 1)
    end = min(place + 64, len(content))
    return content[:place] + bytes(end - place) + content[end:]


def _is_found(path: Path) -> bool:
    try:
        read_checkpoint(path)
    except CheckpointError as error:
        return "damaged" in error.what
    except AssertionError:
        return False
    return False
