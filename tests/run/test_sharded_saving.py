"""Saving together: where one process fails, all of them say so, and nothing has changed."""

import os

import pytest
import torch

from dlplug.errors import CheckpointError, StorageError
from dlplug.run import sharded_saving
from dlplug.run.sharded_saving import save_sharded
from dlplug.storage.checkpoint import read_checkpoint

CONTENT = {"state_dict": {"w": torch.ones(3)}, "global_step": 1}


@pytest.fixture
def other(monkeypatch):
    """The first of two processes; returns the errors of the other one, by meeting from 0."""
    errors, meetings = {}, []

    def gather(answers, own):
        result = own[0]
        answers[:] = [own, (result, errors.get(len(meetings)))]
        meetings.append(own)

    monkeypatch.setattr(torch.distributed, "get_rank", lambda: 0)
    monkeypatch.setattr(torch.distributed, "get_world_size", lambda: 2)
    monkeypatch.setattr(torch.distributed, "all_gather_object", gather)
    write = sharded_saving.write_part

    def write_both(folder, rank, ranks, shards):
        write(folder, 1, ranks, shards)
        return write(folder, rank, ranks, shards)

    monkeypatch.setattr(sharded_saving, "write_part", write_both)
    return errors


def step_of(path):
    return read_checkpoint(path)["global_step"]


def test_the_one_before_stays_beside_the_new_one(other, tmp_path):
    """As with files: previous.ckpt for last.ckpt, and nothing for others."""
    for step in (1, 2):
        for name in ("last.ckpt", "best.ckpt"):
            save_sharded(CONTENT | {"global_step": step}, tmp_path / name)
    assert sorted(os.listdir(tmp_path)) == ["best.ckpt", "last.ckpt", "previous.ckpt"]
    steps = {name: step_of(tmp_path / name) for name in os.listdir(tmp_path)}
    assert steps == {"best.ckpt": 2, "last.ckpt": 2, "previous.ckpt": 1}


@pytest.mark.parametrize("meeting", [0, 1])
def test_an_error_of_another_process_ends_the_save(other, tmp_path, meeting):
    """It is named, the folder before is in its place, and no litter is left."""
    path = tmp_path / "last.ckpt"
    save_sharded(CONTENT, path)
    other[3 + meeting] = StorageError("no room", where="/data")
    with pytest.raises(StorageError, match="process 1: no room"):
        save_sharded(CONTENT | {"global_step": 2}, path)
    assert step_of(path) == 1
    assert meeting == 0 or os.listdir(tmp_path) == ["last.ckpt"]


def test_a_full_disk_here_ends_it_as_well(other, tmp_path, monkeypatch):
    """Whatever file it is that has no room."""
    path = tmp_path / "last.ckpt"
    save_sharded(CONTENT, path)

    def fail(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(sharded_saving, "complete", fail)
    with pytest.raises(StorageError, match=r"process 0: .*No space left"):
        save_sharded(CONTENT | {"global_step": 2}, path)
    assert step_of(path) == 1 and os.listdir(tmp_path) == ["last.ckpt"]


def test_an_object_is_refused_before_anything_is_written(other, tmp_path):
    """As for files: it would not load safely."""
    with pytest.raises(CheckpointError, match="put there by key 'x'"):
        save_sharded(CONTENT | {"x": print}, tmp_path / "last.ckpt")
    assert os.listdir(tmp_path) == []
