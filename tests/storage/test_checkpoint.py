"""Checkpoints on the disk: safe to read."""

import zipfile

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


@pytest.mark.parametrize(
    ("part", "value"),
    [("callbacks", [1]), ("loops", "x"), ("optimizer_states", {}), ("epoch", "1")],
)
def test_a_part_of_another_form_is_named(tmp_path, part, value):
    """Before Lightning stumbles over it."""
    torch.save({"state_dict": {}, part: value}, tmp_path / "a.ckpt")
    with pytest.raises(CheckpointError, match=f"its {part} is a {type(value).__name__}"):
        read_checkpoint(tmp_path / "a.ckpt")


def test_weights_are_tensors(tmp_path):
    """Anything else is named."""
    torch.save({"state_dict": {"layer.weight": "os.system"}}, tmp_path / "a.ckpt")
    with pytest.raises(CheckpointError, match=r"the weight 'layer\.weight' is no tensor"):
        read_checkpoint(tmp_path / "a.ckpt")


def test_nobody_is_advised_to_load_objects(tmp_path):
    """torch's message says how to run the code in the file; ours says what is in it."""
    torch.save({"state_dict": {}, "x": Harmful()}, tmp_path / "a.ckpt")
    with pytest.raises(CheckpointError) as error:
        read_checkpoint(tmp_path / "a.ckpt")
    assert error.value.what.endswith("GLOBAL print was not an allowed global by default.")
    assert "weights_only" not in str(error.value) and "\n" not in error.value.what


def test_any_exception_of_torch_is_told(tmp_path, monkeypatch):
    """A pickle without sense makes it raise all sorts."""

    def load(*arguments, weights_only, **keywords):
        raise KeyError("frame")

    torch.save({"state_dict": {}}, tmp_path / "a.ckpt")
    monkeypatch.setattr(torch, "load", load)
    with pytest.raises(CheckpointError, match="is damaged or no checkpoint: 'frame'"):
        read_checkpoint(tmp_path / "a.ckpt")


def test_an_archive_of_another_form_is_not_read(tmp_path, monkeypatch):
    """A compressed part can hide a thousand times its size; nothing of it is unpacked."""
    torch.save({"state_dict": {"w": torch.zeros(10)}}, tmp_path / "a.ckpt")
    with zipfile.ZipFile(tmp_path / "a.ckpt", "a", zipfile.ZIP_DEFLATED) as file:
        file.writestr("a/data/9", bytes(1 << 20))
    monkeypatch.setattr(torch, "load", None)
    with pytest.raises(CheckpointError, match="its part a/data/9 is compressed"):
        read_checkpoint(tmp_path / "a.ckpt")
