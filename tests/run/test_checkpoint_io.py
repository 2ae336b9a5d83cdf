"""Checkpoints on the disk: durable to write."""

import pytest
import torch

from dlplug.errors import CheckpointError, StorageError
from dlplug.run.checkpoint_io import DurableCheckpointIO
from dlplug.storage.checkpoint import read_checkpoint


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
