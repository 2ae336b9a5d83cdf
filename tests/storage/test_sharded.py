"""Folders of shards: what one process after the other has written is read as a whole."""

import json
import shutil

import pytest
import torch

from dlplug.errors import CheckpointError
from dlplug.storage import manifest
from dlplug.storage.checkpoint import newest_intact, read_checkpoint, read_outline
from dlplug.storage.pieces import Box
from dlplug.storage.sharded import COMMON, INDEX, Shard, complete, write_part

WEIGHT = torch.arange(12.0).reshape(4, 3)
PATHS = ("state_dict", "w"), ("optimizer_states", 0, "state", 0, "exp_avg")


def save(folder, ranks=2):
    folder.mkdir()
    parts = []
    for rank in range(ranks):
        size = 4 // ranks
        box = Box((rank * size, 0), (size, 3))
        # A view of a larger memory, as FSDP's shards are.
        padded = torch.cat([WEIGHT[box.slices], torch.full((1, 3), 7.0)])[:size]
        parts.append(
            write_part(folder, rank, ranks, {p: Shard((4, 3), box, padded) for p in PATHS})
        )
    common = {
        "state_dict": {"w": None, "buffer": torch.ones(2)},
        "optimizer_states": [{"state": {0: {"exp_avg": None, "step": torch.tensor(3.0)}}}],
        "global_step": 3,
    }
    complete(folder, common, parts)
    return folder


@pytest.fixture
def folder(tmp_path):
    return save(tmp_path / "last.ckpt")


def test_it_reads_as_one_checkpoint(folder):
    """Tensors whole, everything else as it was; an outline reads no shard."""
    content = read_checkpoint(folder)
    assert torch.equal(content["state_dict"]["w"], WEIGHT)
    state = content["optimizer_states"][0]["state"][0]
    assert torch.equal(state["exp_avg"], WEIGHT) and state["step"] == 3
    assert torch.equal(content["state_dict"]["buffer"], torch.ones(2))
    assert content["global_step"] == 3
    outline = read_outline(folder)["state_dict"]
    assert outline["w"].shape == (4, 3) and outline["w"].is_meta
    assert not outline["buffer"].is_meta


def test_a_file_has_no_more_than_the_shards(folder):
    """Not the memory around them."""
    part = torch.load(folder / "rank-1-of-2.pt", weights_only=True)
    assert part.keys() == {"state_dict/w", "optimizer_states/0/state/0/exp_avg"}
    assert torch.equal(part["state_dict/w"], WEIGHT[2:])
    assert part["state_dict/w"].untyped_storage().nbytes() == 6 * 4


def flip(folder):
    path = folder / "rank-0-of-2.pt"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


DAMAGES = {
    "a flipped bit": (flip, r"rank-0-of-2\.pt: its SHA-256"),
    "a missing part": (lambda f: (f / "rank-1-of-2.pt").unlink(), r"it lacks rank-1-of-2\.pt"),
    "a foreign file": (lambda f: (f / "evil.py").write_text(""), r"evil\.py is not of it"),
    "no manifest": (lambda f: (f / manifest.NAME).unlink(), "manifest.json is missing"),
    "no index": (lambda f: (f / INDEX).unlink(), "it lacks index.json"),
    "an empty folder": (lambda f: [p.unlink() for p in f.iterdir()], "manifest.json is missing"),
    "a torn index": (lambda f: (f / INDEX).write_text("{"), "index.json: it has 1 bytes"),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_damage_is_found_and_the_previous_one_taken(folder, tmp_path, name, capsys):
    """Whatever is damaged, missing or foreign: one error, and `newest_intact` falls back."""
    previous = save(tmp_path / "previous.ckpt")
    change, reason = DAMAGES[name]
    change(folder)
    with pytest.raises(CheckpointError, match=reason):
        read_checkpoint(folder)
    assert newest_intact([folder, previous]) == previous
    assert f"{folder} is damaged" in capsys.readouterr().err


def lie(folder, change):
    """Change the index, and let the manifest agree."""
    index = json.loads((folder / INDEX).read_text())
    change(index)
    (folder / INDEX).write_text(json.dumps(index))
    names = [path.name for path in folder.iterdir() if path.name != manifest.NAME]
    manifest.enter(folder, {name: manifest.entry_of(folder / name) for name in names})


LIES = {
    "other ranks": (lambda i: i.update(ranks=3), "of 3 processes, the files are not"),
    "another format": (lambda i: i.update(format=2), "format 2"),
    "no tensors": (lambda i: i.pop("tensors"), "KeyError"),
    "a hole": (lambda i: i["tensors"][0]["shards"].pop(), "end at 2 of 4"),
    "a huge shape": (lambda i: i["tensors"][0].update(shape=[1 << 50, 3]), "end at 4 of"),
    "another type": (lambda i: i["tensors"][0].update(dtype="int8"), "a shard is torch.float32"),
    "no type": (lambda i: i["tensors"][0].update(dtype="load"), "a shard is torch.float32"),
    "a forgotten tensor": (lambda i: i["tensors"].pop(), "does not name the tensors"),
    "a fraction": (lambda i: i["tensors"][0].update(shape=[4.0, 3]), "TypeError"),
    "many ranks": (lambda i: i.update(ranks=1 << 60), "processes, the files are not"),
    "no place": (lambda i: i["tensors"][0].update(path=["a"]), "KeyError"),
    "text": (lambda i: i["tensors"].append("x"), "TypeError"),
}


@pytest.mark.parametrize("name", LIES)
def test_an_index_that_lies_is_refused(folder, name):
    """It may come from anywhere: it is held against what the files have."""
    lie(folder, lambda index: None)
    read_checkpoint(folder)
    change, reason = LIES[name]
    lie(folder, change)
    with pytest.raises(CheckpointError, match=reason) as error:
        read_checkpoint(folder)
    assert str(folder) in str(error.value)


def test_a_copy_is_a_checkpoint(folder, tmp_path):
    """The folder has everything in it."""
    copy = shutil.copytree(folder, tmp_path / "elsewhere" / "a.ckpt")
    assert torch.equal(read_checkpoint(copy)["state_dict"]["w"], WEIGHT)


def test_code_in_a_part_does_not_run(folder):
    """Nothing but tensors and plain data loads, even when the manifest agrees."""
    torch.save({"w": print}, folder / COMMON)
    lie(folder, lambda index: None)
    with pytest.raises(CheckpointError, match="holds objects besides tensors"):
        read_checkpoint(folder)
