"""Payloads that come in a checkpoint or a run folder, and the command that would read each."""

import io
import json
import pickle
import shutil
import zipfile
from collections.abc import Iterator
from pathlib import Path

import torch

from tests.chaos import hostile_pickles as pickles
from tests.chaos.hostile import Payload, Victim

EVALUATE = ("test", "--config", "digits.yaml", "--ckpt_path")
# Every way in which a command is told to read a checkpoint.
READERS = (
    EVALUATE,
    ("validate", "--config", "digits.yaml", "--ckpt_path"),
    ("predict", "--config", "digits.yaml", "--output", "out.csv", "--ckpt_path"),
    ("fit", "--config", "digits.yaml", "--ckpt_path"),
    ("fit", "--config", "digits.yaml", "--callbacks.pretrained.checkpoint"),
)
LOAD = "import torch; torch.load({path!r}, weights_only=False)"


def payloads(victim: Victim) -> Iterator[Payload]:
    """Every payload; its files are written."""
    yield from _objects(victim)
    yield from _opcodes(victim)
    yield from _formats(victim)
    yield from _archives(victim)
    yield from _records(victim)
    yield from _run_folders(victim)


def _read(path: Path, number: int) -> tuple[str, ...]:
    reader = READERS[number % len(READERS)]
    named = ("--callbacks+", "pretrained") if reader[-1].startswith("--callbacks") else ()
    return (*reader[:-1], *named, reader[-1], str(path))


def _objects(victim: Victim) -> Iterator[Payload]:
    """Calls of functions, by turns in the weights, the optimizer and dlplug's own record."""
    for number, name in enumerate(pickles.calls(victim.new("names"), Path("x"))):
        folder = victim.new("objects")
        evil = pickles.calls(folder, folder / "canary")[name]
        place = ("state_dict", "optimizer_states", "dlplug")[number % 3]
        path = folder / "evil.ckpt"
        torch.save(pickles.checkpoint(evil, place), path)
        yield Payload(
            f"{name} in {place}",
            folder,
            _read(path, number),
            "holds objects besides tensors and plain data",
            LOAD.format(path=str(path)),
        )


def _opcodes(victim: Victim) -> Iterator[Payload]:
    for number, name in enumerate(pickles.opcodes(Path("x"))):
        folder = victim.new("opcodes")
        path = folder / "evil.ckpt"
        pickles.archive(path, pickles.opcodes(folder / "canary")[name])
        yield Payload(
            f"opcode {name}", folder, _read(path, number), "", LOAD.format(path=str(path))
        )


def _formats(victim: Victim) -> Iterator[Payload]:
    """torch's older formats and a bare pickle, with a manifest that vouches for the file."""
    for number, name in enumerate(("legacy", "tar", "pickle")):
        folder = victim.new("formats")
        evil = pickles.calls(folder, folder / "canary")["exec"]
        path = folder / "evil.ckpt"
        if name == "legacy":
            path.write_bytes(pickles.legacy(evil))
        elif name == "tar":
            pickles.oldest(path, evil)
        else:
            path.write_bytes(pickle.dumps(pickles.checkpoint(evil)))
        load = LOAD if name != "pickle" else "import pickle; pickle.load(open({path!r}, 'rb'))"
        if name == "tar":
            load = (
                "import pickle, tarfile; pickle.load(tarfile.open({path!r}).extractfile('pickle'))"
            )
        for kind in ("stray", "vouched"):
            if kind == "vouched":
                pickles.vouched(path)
            yield Payload(
                f"{kind} file in the format {name}",
                folder,
                _read(path, number),
                "damaged or no checkpoint",
                load.format(path=str(path)),
            )


def _archives(victim: Victim) -> Iterator[Payload]:
    """Archives that are not what torch writes."""
    good = victim.run / "checkpoints" / "best.ckpt"
    folder = victim.new("archives")
    evil = pickle.dumps(pickles.Call(exec, f"open({str(folder / 'canary')!r}, 'w').close()"))

    def written(name: str) -> Path:
        path = folder / f"{name}.ckpt"
        with zipfile.ZipFile(good) as old, zipfile.ZipFile(path, "w") as new:
            for info in old.infolist():
                new.writestr(info.filename, old.read(info))
        return path

    twice = written("twice")
    with zipfile.ZipFile(twice, "a") as file:
        top = file.namelist()[0].partition("/")[0]
        with pickles.no_warnings():
            file.writestr(f"{top}/data.pkl", evil)
    beside = written("beside")
    with zipfile.ZipFile(beside, "a") as file:
        file.writestr("other/data.pkl", evil)
    climbing = written("climbing")
    with zipfile.ZipFile(climbing, "a") as file:
        file.writestr("../../canary", b"")
    bomb = written("bomb")
    with zipfile.ZipFile(bomb, "a", zipfile.ZIP_DEFLATED) as file:
        file.writestr(f"{top}/data/99", bytes(1 << 28))
    script = folder / "script.ckpt"
    with pickles.no_warnings():  # torch would have us export models by other means
        torch.jit.save(torch.jit.trace(torch.nn.Linear(2, 2), torch.zeros(1, 2)), script)
    huge, wide = folder / "huge.ckpt", folder / "wide.ckpt"
    pickles.boundless((1 << 40,), (1,), 1 << 40)(huge)
    pickles.boundless((1 << 40,), (0,), 16)(wide)
    for number, (path, text) in enumerate(
        (
            (twice, "damaged or no checkpoint"),
            (beside, "damaged or no checkpoint"),
            (climbing, "damaged or no checkpoint"),
            (bomb, "damaged or no checkpoint"),
            (script, "damaged or no checkpoint"),
            (huge, ""),
            (wide, ""),
        )
    ):
        yield Payload(f"archive {path.stem}", folder, _read(path, number), text)
        if path in (twice, bomb, climbing):
            copy = victim.new("vouched") / path.name
            shutil.copy(path, copy)
            pickles.vouched(copy)
            yield Payload(f"vouched archive {path.stem}", copy.parent, _read(copy, number), text)


def _records(victim: Victim) -> Iterator[Payload]:
    """Plain data that names code where dlplug looks for names, or has another form."""
    good = torch.load(victim.run / "checkpoints" / "best.ckpt", weights_only=True)
    folder = victim.new("records")
    code = {"class_path": "os.system", "init_args": {"command": f"touch {folder / 'canary'}"}}
    resolved = good["dlplug"]["resolved"]
    changes = {
        "code": {"dlplug": good["dlplug"] | {"resolved": resolved | {"architecture": code}}},
        "text": {"dlplug": "os.system"},
        "list": {"dlplug": {"resolved": [code]}},
        "number": {"dlplug": {"resolved": {"architecture": 7}}},
        "weights": {"state_dict": 7},
        "weight": {"state_dict": dict.fromkeys(good["state_dict"], "os.system")},
    }
    for number, (name, change) in enumerate(changes.items()):
        path = folder / f"{name}.ckpt"
        torch.save(good | change, path)
        yield Payload(f"record {name}", folder, _read(path, 0 if number else 3), "")


def _run_folders(victim: Victim) -> Iterator[Payload]:
    """A whole run of a stranger: its resolved config, its lock or its record name code."""
    for name in ("resolved.yaml", "plugins.lock", "run.json", "last.ckpt", "data_spec"):
        folder = victim.new("runs")
        run = folder / "stranger" / "1"
        shutil.copytree(victim.run, run)
        canary = folder / "canary"
        verb: tuple[str, ...] = ("test", "--run", str(run))
        text, code = "", 2
        if name == "resolved.yaml":
            given = (run / name).read_text()
            evil = (
                f"architecture: {{class_path: os.system, init_args: {{command: touch {canary}}}}}"
            )
            kept = given[: given.index("architecture:")] + evil + given[given.index("\nloss:") :]
            (run / name).write_text(kept)
            text = "'os.system' is not in a trusted module"
        elif name == "plugins.lock":
            (run / name).write_text("!!python/object/apply:os.system ['touch x']")
            verb = ("fit", "--run", str(run), "--trainer.max_epochs", "2")
            text, code = "plugins.lock cannot be read", 0  # it is said; nothing is taken from it
        elif name == "run.json":
            (run / name).write_text(json.dumps([str(canary)]))
        elif name == "last.ckpt":
            path = run / "checkpoints" / name
            path.unlink()
            torch.save(pickles.checkpoint(pickles.calls(folder, canary)["exec"]), path)
            pickles.vouched(path)
            verb = ("fit", "--run", str(run), "--trainer.max_epochs", "2")
        else:
            path = run / "checkpoints" / "best.ckpt"
            content = torch.load(path, weights_only=True)
            content["dlplug"]["data_spec"] = {"class_path": "os.system", "num_classes": "10"}
            path.unlink()
            torch.save(content, path)
            pickles.vouched(path)
            buffer = folder / "x.npy"
            buffer.write_bytes(_array())
            verb = ("predict", "--run", str(run), "--input", str(buffer))
        yield Payload(f"run folder with a hostile {name}", folder, verb, text, code=code)


def _array() -> bytes:
    import numpy as np

    buffer = io.BytesIO()
    np.save(buffer, np.zeros((2, 8, 8)))
    return buffer.getvalue()
