"""Run folders: numbered once, never overwritten, found by name."""

import json
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from dlplug.errors import RunError, StorageError
from dlplug.run.folder import Run


def test_numbers_count_from_one_for_each_name(tmp_path):
    """x/1, x/2 and y/1."""
    paths = [Run.create(tmp_path, name).path for name in ("x", "x", "y")]
    assert paths == [tmp_path / "x" / "1", tmp_path / "x" / "2", tmp_path / "y" / "1"]


def test_two_at_once_get_two_folders(tmp_path):
    """Many allocations in parallel give as many different numbers."""
    with ThreadPoolExecutor(8) as pool:
        runs = list(pool.map(lambda _: Run.create(tmp_path, "x"), range(40)))
    assert sorted(run.number for run in runs) == list(range(1, 41))


def test_whatever_exists_is_left_alone(tmp_path):
    """A foreign folder with the next number is skipped, not used."""
    (tmp_path / "x" / "1").mkdir(parents=True)
    (tmp_path / "x" / "1" / "mine.txt").write_text("precious")
    run = Run.create(tmp_path, "x")
    assert run.number == 2
    assert (tmp_path / "x" / "1" / "mine.txt").read_text() == "precious"


def test_a_deleted_number_is_not_used_again_while_a_later_one_is_there(tmp_path):
    """After 1, 2, 3 without 2 comes 4."""
    runs = [Run.create(tmp_path, "x") for _ in range(3)]
    (runs[1].path / "run.json").unlink()
    runs[1].checkpoints.rmdir()
    runs[1].path.rmdir()
    assert Run.create(tmp_path, "x").number == 4


def test_it_is_found_by_path_name_number_and_latest(tmp_path):
    """A path, the newest of a name, one by number, and the newest of all."""
    first, second = Run.create(tmp_path, "x"), Run.create(tmp_path, "x")
    other = Run.create(tmp_path, "y")
    assert Run.find(str(first.path), tmp_path) == first
    assert Run.find("x", tmp_path) == second
    assert Run.find("x/1", tmp_path) == first
    assert Run.find("latest", tmp_path).path in (other.path, second.path)
    second.update(started=other.status["started"] + 1)
    assert Run.find("latest", tmp_path) == second


def test_the_newest_is_by_number_not_by_letters(tmp_path):
    """10 is newer than 9."""
    for _ in range(10):
        Run.create(tmp_path, "x")
    assert Run.find("x", tmp_path).number == 10


def test_an_unknown_run_names_the_known_ones(tmp_path):
    """With the nearest match; and in an empty folder, with what can be given."""
    Run.create(tmp_path, "mnist_vit")
    with pytest.raises(RunError, match="no run 'mnist_vti'") as error:
        Run.find("mnist_vti", tmp_path)
    assert "did you mean 'mnist_vit'" in str(error.value)
    with pytest.raises(RunError, match="no run 'latest'") as error:
        Run.find("latest", tmp_path / "empty")
    assert "no runs at all" in str(error.value)


@pytest.mark.parametrize("name", ["../x", "a/b", "", ".hidden", "latest", "a b"])
def test_names_stay_inside_the_root(tmp_path, name):
    """Anything but a plain folder name is refused."""
    with pytest.raises(RunError, match="cannot be the name of a run"):
        Run.create(tmp_path, name)


def test_a_root_that_cannot_be_written_is_an_error(tmp_path):
    """The message says which folder and why."""
    (tmp_path / "runs").write_text("a file")
    with pytest.raises(RunError, match=r"cannot make a run folder in .*runs"):
        Run.create(tmp_path / "runs", "x")


def test_the_status_is_kept_and_changed(tmp_path):
    """update changes what it is given and keeps the rest."""
    run = Run.create(tmp_path, "x")
    assert run.status["status"] == "running" and run.status["tests"] == 0
    run.update(tests=3)
    run.finish("finished")
    assert run.status["status"] == "finished" and run.status["tests"] == 3
    assert run.status["finished"] >= run.status["started"]


def test_a_damaged_run_json_is_named(tmp_path):
    """Half a file is no status, nor is anything else that is JSON."""
    run = Run.create(tmp_path, "x")
    (run.path / "run.json").write_text('{"status": ')
    with pytest.raises(RunError, match=r"run.json is missing or damaged"):
        _ = run.status
    for text in ("[]", '{"status": "running"}'):
        (run.path / "run.json").write_text(text)
        with pytest.raises(RunError, match=r"run.json is damaged: it does not say how"):
            _ = run.status


def test_a_dead_process_holds_nothing(tmp_path):
    """The kernel releases a run when its process dies, however it dies."""
    run = Run.create(tmp_path, "x")
    code = (
        "import os, sys, signal\n"
        "from pathlib import Path\n"
        "from dlplug.run.folder import Run\n"
        "with Run(Path(sys.argv[1])).hold():\n"
        "    print('held', flush=True)\n"
        "    sys.stdin.readline()\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(run.path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    try:
        assert process.stdout.readline() == b"held\n"
        assert run.is_held()
    finally:
        process.kill()
        process.communicate()
    assert not run.is_held()


def test_unfinished_is_the_newest_that_can_go_on(tmp_path):
    """Finished runs, and runs without a checkpoint, are passed over."""
    runs = [Run.create(tmp_path, "x") for _ in range(4)]
    for run, status in zip(runs, ("failed", "interrupted", "finished", "failed"), strict=True):
        run.finish(status)
    for run in runs[:3]:
        run.last.write_bytes(b"")
    assert Run.unfinished(tmp_path, "x") == runs[1]
    assert Run.unfinished(tmp_path, "y") is None


def test_run_json_is_plain_json(tmp_path):
    """Other programs can read it."""
    run = Run.create(tmp_path, "x")
    assert json.loads((run.path / "run.json").read_text()) == run.status


def test_a_folder_that_is_gone_is_told(tmp_path):
    """Such as of a disk that was unmounted, at a training's end."""
    run = Run.create(tmp_path, "x")
    shutil.rmtree(run.path)
    with pytest.raises(StorageError, match=r"run\.json cannot be written: No such file"):
        run.finish("failed")


def test_a_run_that_cannot_be_held_is_a_storage_error(tmp_path):
    """Its folder is gone, or the disk has no room for the lock's file."""
    run = Run.create(tmp_path, "x")
    shutil.rmtree(run.path)
    with pytest.raises(StorageError, match=r"\.lock cannot be written: No such file"), run.hold():
        pass
