"""Checkpoints of a stranger: pickles that run code when they are loaded as pickles."""

import functools
import io
import json
import pickle
import pty
import runpy
import tarfile
import warnings
import webbrowser
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.utils.collect_env

COMMAND = "touch {canary}"
# Of a checkpoint that would be read to its end.
REST = {"epoch": 1, "global_step": 8, "pytorch-lightning_version": "2.6.6", "callbacks": {}}


class Call:
    """Pickled, it is the call ``function(*arguments)``, made when somebody loads it."""

    def __init__(self, function: Any, *arguments: Any):
        self.parts = function, arguments

    def __reduce__(self):
        return self.parts

    def __call__(self):
        """What it stands for may be called in turn; pickle asks whether it could be."""


def calls(folder: Path, canary: Path) -> dict[str, Any]:
    """Objects that create ``canary`` when they are unpickled, by what they use."""
    command = COMMAND.format(canary=canary)
    touch = f"open({str(canary)!r}, 'w').close()"
    script = folder / "script.py"
    script.write_text(touch)
    (folder / "hub").mkdir()
    (folder / "hub" / "hubconf.py").write_text(f"{touch}\ndef net(): pass\n")
    np.save(folder / "array.npy", np.array([Call(exec, touch)], dtype=object), allow_pickle=True)
    inner = io.BytesIO()
    torch.save(Call(exec, touch), inner)
    (folder / "inner.pt").write_bytes(inner.getvalue())
    system = __import__("os").system
    browser = Call(webbrowser.GenericBrowser, ["touch", "%s"])
    return {
        "os.system": Call(system, command),
        "subprocess.run": Call(__import__("subprocess").run, ["touch", str(canary)]),
        "subprocess.Popen": Call(
            getattr, Call(__import__("subprocess").Popen, ["touch", str(canary)]), "args"
        ),
        "eval": Call(eval, touch),
        "exec": Call(exec, touch),
        "__import__": Call(Call(getattr, Call(__import__, "os"), "system"), command),
        "runpy": Call(runpy.run_path, str(script)),
        "pty": Call(pty.spawn, ["touch", str(canary)]),
        "webbrowser": Call(Call(getattr, browser, "open"), str(canary)),
        "torch.hub": Call(torch.hub._load_local, str(folder / "hub"), "net"),
        "torch.load": Call(
            functools.partial(torch.serialization.load, weights_only=False),
            str(folder / "inner.pt"),
        ),
        "torch storage": Call(torch.storage._load_from_bytes, inner.getvalue()),
        "torch.utils": Call(torch.utils.collect_env.run, command),
        "numpy.load": Call(np.load, str(folder / "array.npy"), None, True),
    }


def opcodes(canary: Path) -> dict[str, bytes]:
    """The same by hand, with every opcode that calls something."""
    text = _text(COMMAND.format(canary=canary))
    system = b"cposix\nsystem\n"
    ordered = b"ccollections\nOrderedDict\n)R"
    return {
        "REDUCE": system + b"(" + text + b"tR.",
        "INST": b"(" + text + b"iposix\nsystem\n.",
        "OBJ": b"(" + system + text + b"o.",
        "BUILD": ordered + b"}" + _text("__setstate__") + system + b"sb" + text + b"b.",
        "STACK_GLOBAL": _text("posix") + _text("system") + b"\x93(" + text + b"tR.",
    }


def _text(words: str) -> bytes:
    """BINUNICODE, which torch's own reader of pickles knows."""
    return b"X" + len(words).to_bytes(4, "little") + words.encode()


def archive(path: Path, content: bytes, others: dict[str, bytes] | None = None) -> None:
    """torch's zip format around a pickle."""
    parts = {"data.pkl": content, "byteorder": b"little", "version": b"3\n"} | (others or {})
    with zipfile.ZipFile(path, "w") as file:
        for name, data in parts.items():
            file.writestr(f"archive/{name}", data)


def checkpoint(evil: Any, place: str = "state_dict") -> dict[str, Any]:
    """A checkpoint with ``evil`` deep in one of its parts."""
    weights = OrderedDict({"architecture.layers.0.weight": torch.zeros(2, 2)})
    content: dict[str, Any] = REST | {"state_dict": weights, "optimizer_states": [{"state": {}}]}
    if place == "state_dict":
        weights["architecture.layers.0.bias"] = evil
    elif place == "optimizer_states":
        content[place][0]["state"][0] = {"exp_avg": [evil]}
    else:
        content[place] = {"format": 1, "resolved": {"architecture": {"depth": evil}}}
    return content


def legacy(evil: Any) -> bytes:
    """The format before the zip archive: several pickles one after the other."""
    buffer = io.BytesIO()
    torch.save(checkpoint(evil), buffer, _use_new_zipfile_serialization=False)
    return buffer.getvalue()


def oldest(path: Path, evil: Any) -> None:
    """torch's first format, a tar file of pickles."""
    with tarfile.open(path, "w") as tar:
        for name in ("sys_info", "pickle", "storages", "tensors"):
            data = pickle.dumps(evil if name == "pickle" else 0)
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))


def vouched(path: Path) -> None:
    """Write a manifest that says the file is as it should be, as whoever sends it can."""
    entry = {
        "bytes": path.stat().st_size,
        "sha256": sha256(path.read_bytes()).hexdigest(),
        "inode": path.stat().st_ino,
    }
    (path.parent / "manifest.json").write_text(json.dumps({path.name: [entry]}))


def boundless(
    shape: tuple[int, ...], stride: tuple[int, ...], numel: int
) -> Callable[[Path], None]:
    """A checkpoint of a few bytes whose tensor says it has that shape, over that many numbers."""

    class Storage:
        """Stands for the storage of a tensor in a pickle."""

    class Pickler(pickle._Pickler):
        def persistent_id(self, value):
            if isinstance(value, Storage):
                return "storage", torch.FloatStorage, "0", "cpu", numel
            return None

    def write(path: Path) -> None:
        tensor = Call(torch._utils._rebuild_tensor_v2, Storage(), 0, shape, stride, False, {})
        buffer = io.BytesIO()
        content = REST | {"state_dict": {"architecture.layers.0.weight": tensor}}
        Pickler(buffer, protocol=2).dump(content)
        archive(path, buffer.getvalue(), {"data/0": bytes(64)})

    return write


def no_warnings() -> warnings.catch_warnings:
    """For what is not done in earnest: a name twice in one archive, what torch deprecates."""
    return warnings.catch_warnings(action="ignore")
