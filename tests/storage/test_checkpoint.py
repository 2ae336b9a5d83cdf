"""Checkpoints on the disk: safe to read."""

import pytest
import torch

from dlplug.errors import CheckpointError
from dlplug.storage.checkpoint import read_checkpoint


class Harmful:
    """Runs a command when it is unpickled."""

    def __reduce__(self):
        return (print, ("this must never run",))


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
