"""Files written in the background: in order, none lost, every error told."""

import threading

import pytest

from dlplug.errors import StorageError
from dlplug.storage.saver import Saver


class Disk:
    """Writes that wait until they may go on; ``written`` lists what was written."""

    def __init__(self, saver):
        self.saver = saver
        self.written = []
        self.open = threading.Event()
        self.begun = threading.Event()
        self.broken = set()

    def save(self, name, number, folder):
        def write():
            self.begun.set()
            assert self.open.wait(30)
            if name in self.broken:
                raise StorageError(f"{name} {number} cannot be written")
            self.written.append((name, number))

        self.saver.submit(folder / name, lambda: write)


@pytest.fixture
def disk():
    disk = Disk(Saver())
    yield disk
    disk.open.set()
    disk.saver.wait()


def test_the_caller_goes_on_while_a_file_is_written(disk, tmp_path):
    """Nothing is on the disk when `submit` returns, everything after `finish`."""
    disk.save("best.ckpt", 1, tmp_path)
    disk.save("last.ckpt", 1, tmp_path)
    assert disk.written == []
    disk.open.set()
    disk.saver.finish()
    assert disk.written == [("best.ckpt", 1), ("last.ckpt", 1)]


def test_a_newer_last_takes_the_place_of_one_that_waits(disk, tmp_path):
    """The one that is being written is finished."""
    disk.save("last.ckpt", 1, tmp_path)
    assert disk.begun.wait(30)
    for number in (2, 3, 4):
        disk.save("last.ckpt", number, tmp_path)
    disk.open.set()
    disk.saver.finish()
    assert disk.written == [("last.ckpt", 1), ("last.ckpt", 4)]


@pytest.mark.parametrize("names", [("best.ckpt", "last.ckpt"), ("best.ckpt", "best.ckpt")])
def test_nothing_else_gives_way(disk, tmp_path, names):
    """A third file waits for room: a best state is never lost, and the order is kept."""
    first, second = names
    disk.save(first, 1, tmp_path)
    assert disk.begun.wait(30)
    disk.save(second, 2, tmp_path)
    third = threading.Thread(target=disk.save, args=(first, 3, tmp_path))
    third.start()
    disk.open.set()
    third.join()
    disk.saver.finish()
    assert disk.written == [(first, 1), (second, 2), (first, 3)]


def test_each_last_is_kept_where_that_is_asked(disk, tmp_path):
    """A third one waits for room."""
    disk.saver.keeps_all = True
    disk.save("last.ckpt", 1, tmp_path)
    assert disk.begun.wait(30)
    disk.save("last.ckpt", 2, tmp_path)
    third = threading.Thread(target=disk.save, args=("last.ckpt", 3, tmp_path))
    third.start()
    third.join(0.1)
    assert third.is_alive()
    disk.open.set()
    third.join()
    disk.saver.finish()
    assert disk.written == [("last.ckpt", 1), ("last.ckpt", 2), ("last.ckpt", 3)]


def test_there_is_room_again_before_the_state_is_copied(disk, tmp_path):
    """Two copies at most wait in memory: ``prepare`` is not called while two files are pending."""
    disk.save("a.ckpt", 1, tmp_path)
    assert disk.begun.wait(30)
    disk.save("b.ckpt", 2, tmp_path)
    prepared = threading.Event()

    def prepare():
        prepared.set()
        return lambda: disk.written.append("c")

    third = threading.Thread(target=disk.saver.submit, args=(tmp_path / "c.ckpt", prepare))
    third.start()
    assert not prepared.is_set()
    disk.open.set()
    third.join()
    disk.saver.finish()
    assert disk.written[-1] == "c"


def test_an_error_is_raised_at_the_next_look_and_drops_what_waits(disk, tmp_path):
    """A last state that tells of a best one is not written when that one is not there."""
    disk.broken.add("best.ckpt")
    disk.save("best.ckpt", 1, tmp_path)
    disk.save("last.ckpt", 1, tmp_path)
    disk.open.set()
    disk.saver.wait()
    assert disk.saver.has_failed
    with pytest.raises(StorageError, match=r"best\.ckpt 1 cannot be written"):
        disk.save("last.ckpt", 2, tmp_path)
    assert disk.written == [] and not disk.saver.has_failed
    disk.save("last.ckpt", 3, tmp_path)  # the end of a training may still save
    disk.saver.finish()
    assert disk.written == [("last.ckpt", 3)]


def test_a_failed_best_is_tried_again_before_the_next_file(disk, tmp_path, capsys):
    """Where the training goes on: it is said, nothing is lost, the end counts the failures."""
    disk.saver.goes_on = True
    disk.open.set()
    disk.broken.add("best.ckpt")
    disk.save("best.ckpt", 1, tmp_path)
    disk.saver.wait()
    disk.saver.check()
    said = capsys.readouterr().err
    assert "best.ckpt 1 cannot be written" in said and "tried again" in said
    disk.broken.clear()
    disk.save("last.ckpt", 2, tmp_path)
    disk.saver.finish()
    assert disk.written == [("best.ckpt", 1), ("last.ckpt", 2)]
    assert "could not be written 1 times in this training" in capsys.readouterr().err


def test_a_newer_content_is_not_followed_by_an_older_one(disk, tmp_path):
    """What failed is forgotten when the same file is saved anew."""
    disk.saver.goes_on = True
    disk.open.set()
    disk.broken.add("last.ckpt")
    disk.save("last.ckpt", 1, tmp_path)
    disk.saver.wait()
    disk.broken.clear()
    disk.save("last.ckpt", 2, tmp_path)
    disk.saver.finish()
    assert disk.written == [("last.ckpt", 2)]


def test_the_end_raises_what_is_still_missing(disk, tmp_path):
    """Though the training went on: its result is not on the disk. Then it is over."""
    disk.saver.goes_on = True
    disk.open.set()
    disk.broken.add("last.ckpt")
    for number in (1, 2):
        disk.save("last.ckpt", number, tmp_path)
        disk.saver.wait()
    with pytest.raises(StorageError, match=r"last\.ckpt 2 cannot be written; so it was 3 times"):
        disk.saver.finish()
    disk.saver.finish()


def test_an_error_in_the_code_is_no_failing_disk(disk, tmp_path):
    """It ends the training whatever is configured."""
    disk.saver.goes_on = True
    with pytest.raises(ZeroDivisionError):
        disk.saver.submit(tmp_path / "a.ckpt", lambda: lambda: 1 / 0)
        disk.saver.finish()
