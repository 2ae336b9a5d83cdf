"""Payloads that come as data: files whose careless reading runs code, and what lies beside them."""

import io
import json
import pickle
import tarfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from tests.chaos.hostile import MODULE, Payload, Victim, write_module
from tests.chaos.hostile_pickles import Call

DIGITS = ("predict", "--config", "digits.yaml", "--output", "out.csv")
# How each reads its file; PATH stands for it.
TABLE = ("--data.path", "PATH", "--data.target", "y", "--task", "regression")
READERS = {
    "csv": ("fit", "--data", "csv", *TABLE, "--architecture", "mlp"),
    "parquet": ("fit", "--data", "parquet", *TABLE, "--architecture", "mlp"),
    "text": ("fit", "--data", "text", "--data.path", "PATH", "--task", "language_modelling"),
    "jsonl": ("fit", "--data", "jsonl", "--data.path", "PATH", "--task", "classification"),
    "image_folder": ("fit", "--data", "image_folder", "--data.path", "PATH"),
    "webdataset": ("fit", "--data", "webdataset", "--data.shards", "PATH"),
    "huggingface": ("fit", "--data", "huggingface", "--data.path", "PATH", "--data.image", "image"),
}
LOAD = "import pickle; pickle.load(open({path!r}, 'rb'))"


def payloads(victim: Victim) -> Iterator[Payload]:
    """Every payload; its files are written."""
    yield from _arrays(victim)
    yield from _pickles(victim)
    yield _parquet(victim)
    yield _shard(victim)
    yield from _saved_folders(victim)


def _evil(folder: Path) -> Call:
    return Call(exec, f"open({str(folder / 'canary')!r}, 'w').close()")


def _arrays(victim: Victim) -> Iterator[Payload]:
    """``.npy`` and ``.npz`` with objects, and a bare pickle of that name."""
    good = victim.run / "checkpoints" / "best.ckpt"
    for name in ("x.npy", "x.npz", "pickle.npy"):
        folder = victim.new("arrays")
        path = folder / name
        array = np.array([_evil(folder)], dtype=object)
        if name == "x.npy":
            np.save(path, array, allow_pickle=True)
        elif name == "x.npz":
            np.savez(path, array)
        else:
            path.write_bytes(pickle.dumps(_evil(folder)))
        arguments = (*DIGITS, "--ckpt_path", str(good), "--input", str(path))
        index = "['arr_0']" if name == "x.npz" else ""
        naive = f"import numpy; numpy.load({str(path)!r}, allow_pickle=True){index}"
        yield Payload(f"--input {name}", folder, arguments, "DataError", naive)


def _pickles(victim: Victim) -> Iterator[Payload]:
    """A pickle under the name of each kind of data file."""
    for kind, name in (
        ("csv", "x.csv"),
        ("csv", "x.csv.gz"),
        ("parquet", "x.parquet"),
        ("jsonl", "x.jsonl"),
        ("webdataset", "x.tar"),
        ("image_folder", "images"),
    ):
        folder = victim.new("pickles")
        path = folder / name
        content = pickle.dumps(_evil(folder))
        if kind == "image_folder":
            (path / "a").mkdir(parents=True)
            (path / "b").mkdir()
            for place in ("a/1.png", "b/1.png", "a/2.pkl", f"a/{MODULE}.py"):
                (path / place).write_bytes(content)
            naive = LOAD.format(path=str(path / "a" / "1.png"))
        else:
            path.write_bytes(content)
            naive = LOAD.format(path=str(path))
        yield Payload(f"pickle as {name}", folder, _read(kind, path), "Error: ", naive)


def _parquet(victim: Victim) -> Payload:
    """An extension type whose description is a pickle: pyarrow loaded these before 14.0.1."""
    import pyarrow
    from pyarrow import parquet

    folder = victim.new("parquet")
    described = pickle.dumps(_evil(folder))

    class Pickled(pyarrow.ExtensionType):
        """Says that it is pyarrow's own pickled type."""

        def __init__(self):
            super().__init__(pyarrow.float64(), "arrow.py_extension_type")

        def __arrow_ext_serialize__(self):
            return described

        @classmethod
        def __arrow_ext_deserialize__(cls, storage, serialized):
            return cls()

    x = pyarrow.ExtensionArray.from_storage(Pickled(), pyarrow.array([1.0, 2.5, 0.5, 7.0] * 16))
    values = pyarrow.array([i * i % 37 + i / 7 for i in range(64)])
    path = folder / "x.parquet"
    parquet.write_table(pyarrow.table({"x": x, "y": values}), path)
    kept = folder / "described.pkl"
    kept.write_bytes(described)
    # Without the type there are plain numbers, and nothing is wrong with them.
    naive = LOAD.format(path=str(kept))
    arguments = (*_read("parquet", path), "--trainer.max_epochs", "1", "--name", "arrow")
    return Payload("parquet with a pickled type", folder, arguments, "", naive, code=0)


def _shard(victim: Victim) -> Payload:
    """A shard with code beside its images, and a class that is a pickle."""
    folder = victim.new("shard")
    evil, path = pickle.dumps(_evil(folder)), folder / "x.tar"
    parts = {
        "0.png": evil,
        "0.cls": b"0",
        "1.pkl": evil,
        "1.pyd": evil,
        "1.pth": evil,
        f"{MODULE}.py": b"import os",
        "../../canary": b"",
        "2.cls": evil,
    }
    with tarfile.open(path, "w") as tar:
        for name, data in parts.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    naive = f"import tarfile, pickle; pickle.load(tarfile.open({str(path)!r}).extractfile('1.pkl'))"
    return Payload("shard with code", folder, _read("webdataset", path), "DataError", naive)


def _saved_folders(victim: Victim) -> Iterator[Payload]:
    """A folder of Hugging Face with a loading script, a feature that is code, or a pickle."""
    for name in ("script", "feature", "pickle"):
        folder = victim.new("saved")
        root = folder / "data"
        root.mkdir()
        write_module(folder)
        (root / "data.py").write_text((folder / f"{MODULE}.py").read_text())
        feature = {"_type": "Value", "dtype": "int64"}
        if name == "feature":
            feature = {"_type": "os.system", "command": f"touch {folder / 'canary'}"}
        info = {"features": {"label": feature, "image": {"_type": "Image"}}, "builder_name": "data"}
        (root / "dataset_info.json").write_text(json.dumps(info))
        state = {"_data_files": [{"filename": "data.arrow"}], "_fingerprint": "x"}
        state |= {"_format_type": "os.system"} if name == "script" else {}
        (root / "state.json").write_text(json.dumps(state))
        (root / "data.arrow").write_bytes(pickle.dumps(_evil(folder)))
        naive = f"import runpy; runpy.run_path({str(root / 'data.py')!r})"
        yield Payload(f"saved folder with a {name}", folder, _read("huggingface", root), "", naive)


def _read(kind: str, path: Path) -> tuple[str, ...]:
    return tuple(word.replace("PATH", str(path)) for word in READERS[kind])
