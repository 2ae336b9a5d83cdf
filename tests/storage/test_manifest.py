"""Damaged checkpoints are found before anything in them is read."""

import io
import os
import random
import signal
import subprocess
import time

import pytest
import torch

from dlplug.errors import CheckpointError, StorageError
from dlplug.run.checkpoint_io import DurableCheckpointIO
from dlplug.storage import files
from dlplug.storage.checkpoint import PREVIOUS, newest_intact, read_checkpoint
from dlplug.storage.manifest import NAME, damage, read_manifest


def save(folder, number, name="last.ckpt", size=100):
    content = {"state_dict": {"w": torch.full((size,), float(number))}, "n": number}
    DurableCheckpointIO().save_checkpoint(content, folder / name)
    return folder / name


def resumable(folder):
    """The number in the checkpoint from which a training in this folder would go on."""
    found = newest_intact([folder / "last.ckpt", folder / PREVIOUS])
    return None if found is None else read_checkpoint(found)["n"]


@pytest.fixture
def never_unpickled(monkeypatch):
    """torch.load fails the test."""

    def load(*arguments, **keywords):
        raise AssertionError("something was unpickled")

    monkeypatch.setattr(torch, "load", load)


def corrupted(content, random):
    """The bytes with a flipped bit, cut short, grown, or with a block of zeros."""
    kind, place = random.choice(["flip", "cut", "grow", "zeros"]), random.randrange(len(content))
    if kind == "flip":
        return content[:place] + bytes([content[place] ^ 1 << place % 8]) + content[place + 1 :]
    if kind == "cut":
        return content[:place]
    if kind == "grow":
        return content + random.randbytes(place + 1)
    end = min(place + 64, len(content))
    return content[:place] + bytes(end - place) + content[end:]


def test_every_corruption_is_found_before_unpickling(tmp_path, never_unpickled):
    """200 of 200: flipped bits, cut and grown files, blocks of zeros."""
    path = save(tmp_path, 1)
    content, chance, tried = path.read_bytes(), random.Random(0), 0
    while tried < 200:
        damaged = corrupted(content, chance)
        if damaged == content:
            continue
        tried += 1
        path.write_bytes(damaged)
        with pytest.raises(CheckpointError, match="damaged"):
            read_checkpoint(path)


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
    assert "last.ckpt is damaged (it has 4 bytes" in capsys.readouterr().err
    (tmp_path / PREVIOUS).write_bytes(b"torn too")
    assert resumable(tmp_path) is None


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


class Failing:
    """The n-th of the calls that reach the disk raises an error."""

    def __init__(self, number):
        self.left = number

    def around(self, call):
        def counted(*arguments, **keywords):
            self.left -= 1
            if self.left == 0:
                raise OSError(5, "Input/output error")
            return call(*arguments, **keywords)

        return counted

    def opened(self, handle, mode):
        """A file each write of which counts."""
        return Counted(io.FileIO(handle, mode), self.around)


class Counted:
    """An open file with another ``write``."""

    def __init__(self, file, around):
        self.file, self.write = file, around(file.write)
        self.flush, self.fileno = file.flush, file.fileno

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.file.close()


def test_whichever_call_fails_there_is_a_loadable_checkpoint(tmp_path, monkeypatch):
    """Each write, synchronisation, link and rename of a save fails once."""
    number = 0
    while True:
        number += 1
        folder = tmp_path / str(number)
        folder.mkdir()
        save(folder, 1), save(folder, 2)
        failing = Failing(number)
        with monkeypatch.context() as patch:
            patch.setattr(files.os, "fsync", failing.around(os.fsync))
            patch.setattr(files.os, "replace", failing.around(os.replace))
            patch.setattr(files.tempfile, "mkstemp", failing.around(files.tempfile.mkstemp))
            patch.setattr(files.os, "fdopen", failing.opened)
            try:
                save(folder, 3)
            except StorageError:
                pass
            else:
                assert failing.left > 0, "the error was swallowed"
                break
        assert failing.left <= 0
        assert resumable(folder) in (2, 3)
        assert not list(folder.glob(".*"))
        save(folder, 4)
        assert resumable(folder) == 4
    assert number > 15  # four files are written, synchronised and renamed


def test_a_kill_within_a_save_tears_nothing(tmp_path):
    """Processes that do nothing but save are killed at random moments, five within a save."""
    chance, litter, newest, kills = random.Random(0), 0, 0, 0
    save(tmp_path, 0)
    while litter < 5:
        kills += 1
        assert kills < 500, "no process is killed within a save"
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            while True:
                newest += 1
                save(tmp_path, newest, size=10_000)
                os.write(writer, b".")
        os.read(reader, 1)  # its first save is done
        time.sleep(0.02 * chance.random())
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        found = resumable(tmp_path)
        assert found > newest
        newest = found
        os.close(reader), os.close(writer)
        litter += bool(files.remove_litter(tmp_path))


@pytest.fixture
def small_disk(tmp_path):
    """A file system of one megabyte."""
    disk = tmp_path / "disk"
    disk.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(disk)]
    try:
        subprocess.run(command, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("this process may not mount a file system")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


def test_a_full_disk_leaves_the_checkpoint_that_was_there(small_disk):
    """The message names the bytes that it takes and that are free."""
    save(small_disk, 1)
    with pytest.raises(StorageError, match="No space left on device") as error:
        save(small_disk, 2, size=1_000_000)
    assert "the checkpoint has 4,000,000 bytes" in error.value.known
    assert "bytes are free" in error.value.known and error.value.exit_code == 74
    assert resumable(small_disk) == 1 and not list(small_disk.glob(".*"))
    save(small_disk, 3)
    assert resumable(small_disk) == 3
