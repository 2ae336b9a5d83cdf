"""Checkpoints on the disk: durable to write, safe to read."""

import pytest
import torch

from dlplug.errors import CheckpointError, StorageError
from dlplug.run.checkpoint_io import DurableCheckpointIO, read_checkpoint


class Harmful:
    """Runs a command when it is unpickled."""

    def __reduce__(self):
        return (print, ("this must never run",))


def test_what_is_saved_is_read(tmp_path):
    """Tensors and plain data come back."""
    path = tmp_path / "folder" / "a.ckpt"
    DurableCheckpointIO().save_checkpoint({"state_dict": {"w": torch.ones(2)}, "n": 3}, path)
    content = read_checkpoint(path)
    assert torch.equal(content["state_dict"]["w"], torch.ones(2)) and content["n"] == 3


def test_a_failed_save_leaves_the_last_good_one(tmp_path, monkeypatch):
    """A full disk does not cost the file that was there."""

    def full(checkpoint, file):
        file.write(b"half of it")
        raise OSError(28, "No space left on device")

    path = tmp_path / "a.ckpt"
    DurableCheckpointIO().save_checkpoint({"state_dict": {}, "n": 1}, path)
    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(StorageError, match="No space left") as error:
        DurableCheckpointIO().save_checkpoint({"state_dict": {"w": torch.ones(7)}, "n": 2}, path)
    assert "the checkpoint has 28 bytes" in error.value.known
    assert read_checkpoint(path)["n"] == 1


def test_objects_are_refused_at_the_save(tmp_path):
    """Their owner is named, and nothing is written."""
    content = {"state_dict": {}, "callbacks": {"Mine": {"path": tmp_path}}}
    with pytest.raises(CheckpointError, match="put there by callback Mine"):
        DurableCheckpointIO().save_checkpoint(content, tmp_path / "a.ckpt")
    assert list(tmp_path.iterdir()) == []


def test_objects_are_refused_and_run_nothing(tmp_path, capsys):
    """A checkpoint that would run code is refused before it does."""
    torch.save({"state_dict": {}, "x": Harmful()}, tmp_path / "a.ckpt")
    with pytest.raises(CheckpointError, match="holds objects besides tensors"):
        read_checkpoint(tmp_path / "a.ckpt")
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("content", [b"", b"not a checkpoint", b"PK\x03\x04torn"])
def test_a_damaged_file_is_named(tmp_path, content):
    """Empty, foreign and torn files."""
    path = tmp_path / "a.ckpt"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=r"a\.ckpt"):
        read_checkpoint(path)


def test_a_missing_file_names_its_neighbours(tmp_path):
    """The message lists the checkpoints of that folder."""
    torch.save({"state_dict": {}}, tmp_path / "best.ckpt")
    with pytest.raises(CheckpointError, match=r"no checkpoint .*last\.ckpt") as error:
        read_checkpoint(tmp_path / "last.ckpt")
    assert "best.ckpt" in str(error.value)


def test_weights_alone_are_no_checkpoint(tmp_path):
    """A bare state_dict lacks Lightning's key."""
    torch.save({"w": torch.ones(1)}, tmp_path / "a.ckpt")
    with pytest.raises(CheckpointError, match="has no state_dict"):
        read_checkpoint(tmp_path / "a.ckpt")
