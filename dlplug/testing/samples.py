"""Small files for dlplug's own components: each function fills a folder.

They are named by ``prepare:`` in ``dlplug/dlplug_examples.yaml``. Images are in the portable text
formats, which need no library to be written.
"""

import io
import json
import tarfile
from pathlib import Path

import numpy as np

COUNT = 20
"""Records; enough for three splits of each class."""
SIDE = 8
"""Pixels of an image's side."""


def json_lines(folder: Path) -> None:
    """``x.jsonl``: texts with classes, and pairs of texts."""
    lines = [
        json.dumps({"text": f"{'good' if n % 2 else 'bad'} {n}", "label": "ab"[n % 2]})
        for n in range(COUNT)
    ]
    _write(folder / "x.jsonl", lines)


def pairs(folder: Path) -> None:
    """``x.tsv``: numbers, and the same backwards."""
    _write(folder / "x.tsv", [f"{n + 100}\t{str(n + 100)[::-1]}" for n in range(COUNT)])


def text(folder: Path) -> None:
    """``x.txt``: one sentence many times."""
    _write(folder / "x.txt", ["the quick brown fox jumps over the lazy dog"] * COUNT)


def token_labels(folder: Path) -> None:
    """``x.conll``: sentences of two tokens with labels."""
    _write(folder / "x.conll", ["God NN B-PER", "said VB O", ""] * COUNT)


def series(folder: Path) -> None:
    """``x.ts``: series of eight steps in two classes."""
    rows = [",".join(str(n + step % 3) for step in range(8)) for n in range(COUNT)]
    lines = [f"{row}:{'ab'[n % 2]}" for n, row in enumerate(rows)]
    _write(folder / "x.ts", ["@classLabel true a b", "@data", *lines])


def days(folder: Path) -> None:
    """``x.csv``: two columns of numbers in the order of time."""
    walk = np.random.default_rng(0).normal(size=(80, 2)).cumsum(axis=0)
    _write(folder / "x.csv", ["a,b", *(f"{a},{b}" for a, b in walk)])


def parquet(folder: Path) -> None:
    """``x.parquet``: a number, a category and a class."""
    import pyarrow
    from pyarrow import parquet as files

    columns = {
        "size": [float(n) for n in range(COUNT)],
        "colour": ["red", "blue"] * (COUNT // 2),
        "kind": ["a", "b"] * (COUNT // 2),
    }
    files.write_table(pyarrow.table(columns), folder / "x.parquet")


def images(folder: Path) -> None:
    """``a/`` and ``b/``: grey images of two classes."""
    for n in range(COUNT):
        _write_image(folder / "ab"[n % 2] / f"{n}.pgm", n, 255)


def masked_images(folder: Path) -> None:
    """``images/`` and ``masks/``: grey images, and masks of two classes."""
    for n in range(COUNT):
        _write_image(folder / "images" / f"{n}.pgm", n, 255)
        _write_image(folder / "masks" / f"{n}.pgm", n, 1)


def shards(folder: Path) -> None:
    """``x.tar``: grey images with classes."""
    with tarfile.open(folder / "x.tar", "w") as archive:
        for n in range(COUNT):
            _add(archive, f"{n}.pgm", _image(n, 255).encode())
            _add(archive, f"{n}.cls", str(n % 2).encode())


def saved_set(folder: Path) -> None:
    """``set/``: a saved data set of Hugging Face's library, two numbers and a class."""
    import datasets

    datasets.disable_progress_bars()
    columns = {
        "x": [float(n) for n in range(COUNT)],
        "y": [float(-n) for n in range(COUNT)],
        "label": ["a", "b"] * (COUNT // 2),
    }
    datasets.Dataset.from_dict(columns).save_to_disk(folder / "set")


def checkpoint(folder: Path) -> None:
    """``x.ckpt``: the weights of the network that is trained with callbacks."""
    import torch

    from dlplug.architectures.mlp import MLP
    from dlplug.testing.forms import CLASSES, INPUTS

    network = MLP(CLASSES, **INPUTS["table"].spec, hidden=[8])
    weights = {f"architecture.{name}": t for name, t in network.state_dict().items()}
    torch.save({"state_dict": weights}, folder / "x.ckpt")


def _write(path: Path, lines: list[str]) -> None:
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _image(seed: int, highest: int) -> str:
    pixels = np.random.default_rng(seed).integers(0, highest + 1, (SIDE, SIDE))
    return f"P2 {SIDE} {SIDE} {highest}\n" + "\n".join(" ".join(map(str, row)) for row in pixels)


def _write_image(path: Path, seed: int, highest: int) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(_image(seed, highest) + "\n")


def _add(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    entry = tarfile.TarInfo(name)
    entry.size = len(content)
    archive.addfile(entry, io.BytesIO(content))
