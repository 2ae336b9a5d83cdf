"""Image files are damaged: an error that names them, or set aside, and a resume changes nothing.

Real PNG and JPEG files, cut off, overwritten, emptied or replaced, in all three splits; some are
met when the data is loaded, others when they are read. A fault is contained when, with
``quarantine: 0``, the training is refused with the name of a damaged file, and when, with a share,

* standard error and ``quarantine.jsonl`` name the file once, and the result counts it;
* the training leaves behind the same weights, optimizer, random states and metrics with no worker
  and with two, in one go and interrupted in the middle of an epoch and resumed.
"""

import io
import json
from collections.abc import Callable
from contextlib import redirect_stderr, suppress
from pathlib import Path
from unittest import mock

import lightning
import numpy as np
from PIL import Image
from sklearn.datasets import load_digits

from dlplug import config
from dlplug.data.quarantine import FILE
from dlplug.errors import DataError
from dlplug.run import verbs
from dlplug.run.folder import Run
from dlplug.run.result import Result
from tests.chaos.fingerprint import difference, fingerprint
from tests.chaos.outcome import Outcome
from tests.chaos.progress import report

NUM_IMAGES = 160
# Of them, in one training; more would be more than its share.
AT_ONCE = 8
CONFIG = """
seed_everything: 3
name: corrupt_records
architecture: {name: mlp, hidden: [8], dropout: 0.2}
optimizer: {name: adamw, lr: 0.003}
callbacks: [{name: checkpoint, every_n_steps: 3}]
data:
  name: image_folder
  path: %s
  image_size: 8
  greyscale: true
  batch_size: 16
  quarantine: %s
  num_workers: %d
trainer: {max_epochs: 2, accelerator: cpu}
"""
# Depends on the number of workers: the position of the loader, and the config.
OTHERWISE = (" loops", " dlplug")


def cut(content: bytes) -> bytes:
    """The second half is missing."""
    return content[: len(content) // 2]


def overwritten(content: bytes) -> bytes:
    """Zeros in the middle, which a checksum or the decoder notices."""
    middle = len(content) // 2
    return content[:middle] + bytes(16) + content[middle + 16 :]


def emptied(content: bytes) -> bytes:
    """Nothing is left."""
    return b""


def replaced(content: bytes) -> bytes:
    """What a server answers instead of an image."""
    return b"<html>404 Not Found</html>"


# JPEG has no checksum: zeros in it may give another picture, which nobody can tell.
DAMAGES = (
    (".png", cut),
    (".jpg", cut),
    (".png", overwritten),
    (".jpg", emptied),
    (".png", replaced),
)


def inject(count: int, folder: Path) -> Outcome:
    """Damage ``count`` files, `AT_ONCE` or fewer of them in each training.

    Args:
        count: Files to damage.
        folder: Empty, for images and runs.
    """
    contained = 0
    for start in range(0, count, AT_ONCE):
        place = folder / str(start)
        images = write_images(place / "images")
        files = [damage(images, number) for number in range(start, min(start + AT_ONCE, count))]
        # Few enough that some of the damaged training images are met at load, others later.
        with mock.patch("dlplug.data.vision.image_records.STATISTICS", NUM_IMAGES // 4):
            contained += sum(map(held(place, files), files))
        report(start + len(files))
    return Outcome(count, contained)


def held(place: Path, files: list[Path]) -> Callable[[Path], bool]:
    """Train in all ways; tells of a file whether everything required held."""
    experiment(place, 0.0, 2, refused := place / "refused.yaml")
    try:
        train(refused, place / "refused")
    except DataError as error:
        is_refused = any(str(file) in str(error) for file in files)
    else:
        is_refused = False
    ends, named, is_counted = [], [], True
    for workers, is_interrupted in ((0, False), (2, False), (2, True)):
        experiment(place, 0.1, workers, file := place / f"{workers}.yaml")
        with redirect_stderr(io.StringIO()) as errors:
            result = train(file, place / f"{workers} {is_interrupted}", is_interrupted)
        ends.append(end_of(result.run))
        listed = [json.loads(line) for line in (result.run / FILE).read_text().splitlines()]
        named.append(([row["reason"] for row in listed], errors.getvalue(), is_interrupted))
        is_counted &= result.quarantined == len(files) == len(listed)
    is_same = not any(difference(end, ends[0]) for end in ends[1:])

    def tell(file: Path) -> bool:
        once = all(
            sum(str(file) in reason for reason in reasons) == 1
            # A training that goes on is another process, which names what it meets at load again.
            and (is_interrupted or sum(str(file) in line for line in errors.splitlines()) == 1)
            for reasons, errors, is_interrupted in named
        )
        return is_refused and is_counted and is_same and once

    return tell


def write_images(root: Path) -> Path:
    """Zeros and ones, 8 x 8 pixels, every second one as JPEG."""
    pixels, digits = load_digits(n_class=2, return_X_y=True)
    for i in range(NUM_IMAGES):
        ending = "png" if i % 2 else "jpg"
        path = root / str(digits[i]) / f"{i:03}.{ending}"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray((pixels[i].reshape(8, 8) * 15).astype(np.uint8)).save(path)
    return root


def damage(root: Path, number: int) -> Path:
    """The file that is damaged as the ``number``-th one."""
    ending, change = DAMAGES[number % len(DAMAGES)]
    files = sorted(path for path in root.rglob(f"*{ending}"))
    path = files[(number * 11 + 3) % len(files)]
    path.write_bytes(change(path.read_bytes()))
    return path


def experiment(place: Path, quarantine: float, workers: int, file: Path) -> None:
    """Write a config."""
    file.write_text(CONFIG % (place / "images", quarantine, workers))


def train(file: Path, root: Path, is_interrupted: bool = False) -> Result:
    """A training with a test at its end; in two parts where it is interrupted."""
    if is_interrupted:
        broken = config.load([file], [])
        build = broken.build_callbacks
        broken.build_callbacks = lambda: [Interrupt(), *build()]
        with suppress(Interrupted):
            verbs.fit(broken, root=root, progress=False)
    resume = "auto" if is_interrupted else None
    return verbs.fit(config.load([file], []), root=root, resume=resume, progress=False)


def end_of(path: Path) -> dict[str, str]:
    """What a training leaves behind, without what tells of its workers."""
    found = fingerprint(Run(path))
    return {name: value for name, value in found.items() if not name.endswith(OTHERWISE)}


class Interrupted(Exception):
    """The end of the first part."""


class Interrupt(lightning.Callback):
    """End a training in the middle of its second epoch."""

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx) -> None:
        """Some batches after the last checkpoint."""
        if trainer.global_step == 11:
            raise Interrupted
