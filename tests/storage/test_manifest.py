"""Damaged checkpoints are found before anything in them is read."""

import pytest
import torch

from dlplug.errors import CheckpointError
from dlplug.run.checkpoint_io import DurableCheckpointIO
from dlplug.storage.checkpoint import PREVIOUS, read_checkpoint
from dlplug.storage.manifest import NAME, damage, read_manifest
from tests.chaos.saves import resumable, save


@pytest.fixture
def never_unpickled(monkeypatch):
    """torch.load fails the test."""

    def load(*arguments, **keywords):
        raise AssertionError("something was unpickled")

    monkeypatch.setattr(torch, "load", load)


def test_a_copy_is_held_against_its_own_checksums(tmp_path, never_unpickled):
    """Without a manifest a flipped bit of a tensor is found all the same."""
    path = save(tmp_path, 1)
    content = path.read_bytes()
    at = content.index(torch.full((100,), 1.0).numpy().tobytes()) + 50
    copy = tmp_path / "copy" / "last.ckpt"
    copy.parent.mkdir()
    copy.write_bytes(content)
    assert damage(copy) is None
    copy.write_bytes(content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :])
    with pytest.raises(CheckpointError, match="does not have its checksum"):
        read_checkpoint(copy)


def test_the_one_before_is_used_and_named(tmp_path, capsys):
    """A damaged last checkpoint costs the steps since the one before, and says so."""
    for number in (1, 2, 3):
        save(tmp_path, number)
    assert resumable(tmp_path) == 3 and capsys.readouterr().err == ""
    (tmp_path / "last.ckpt").write_bytes(b"torn")
    assert resumable(tmp_path) == 2
    told = capsys.readouterr().err
    assert "last.ckpt is damaged (it has 4 bytes" in told and "the one before it is looked" in told
    (tmp_path / PREVIOUS).write_bytes(b"torn too")
    assert resumable(tmp_path) is None
    assert capsys.readouterr().err.count("the one before it") == 1  # and there is no third


def test_a_lost_manifest_costs_nothing(tmp_path):
    """The files have checksums of their own; the next save starts another manifest."""
    save(tmp_path, 1)
    for content in ("", "[]", "{"):
        (tmp_path / NAME).write_text(content)
        assert resumable(tmp_path) == 1
    save(tmp_path, 2)
    assert resumable(tmp_path) == 2
    # Nor the one before, of which the new manifest knows nothing.
    (tmp_path / "last.ckpt").write_bytes(b"torn")
    assert damage(tmp_path / PREVIOUS) is None and resumable(tmp_path) == 1


def test_a_manifest_without_contents_costs_nothing(tmp_path):
    """As it was written once after a lost manifest."""
    save(tmp_path, 1)
    (tmp_path / NAME).write_text('{"last.ckpt": []}')
    assert resumable(tmp_path) == 1


def test_a_removed_file_is_forgotten(tmp_path):
    """The manifest lists what there is."""
    path = save(tmp_path, 1, "best.ckpt")
    DurableCheckpointIO().remove_checkpoint(path)
    assert not path.exists() and read_manifest(tmp_path) == {}
