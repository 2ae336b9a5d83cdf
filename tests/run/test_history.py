"""The runs that are there, seen through the command `runs`."""

import json
import os
import time
from pathlib import Path

import pytest
import torch

from dlplug.cli import runs
from dlplug.errors import InvalidValueError, RunError, UnknownKeyError
from dlplug.run import history
from dlplug.run.checkpoint_io import DurableCheckpointIO
from dlplug.run.folder import Run


def make(root, name, status="finished", days=0.0, accuracy=None):
    """A run with one checkpoint that has two names."""
    run = Run.create(root, name)
    for _ in range(2):
        content = {"state_dict": {"w": torch.ones(100)}}
        DurableCheckpointIO().save_checkpoint(content, run.last)
    run.update(started=time.time() - days * 86400)
    if status != "died":
        run.update(status=status, finished=time.time())
    if accuracy is not None:
        run.test.write_text(json.dumps({"metrics": {"test_accuracy": accuracy}}))
    return run


@pytest.fixture
def root(tmp_path):
    make(tmp_path, "big", days=3, accuracy=0.5)
    make(tmp_path, "big", "failed", days=2)
    make(tmp_path, "big", "died", days=1)
    make(tmp_path, "small", days=4)
    return tmp_path


def call(root, *arguments, code=0):
    assert runs.main([*arguments, "--root", str(root)], None) == code


def names(capsys):
    found = json.loads(capsys.readouterr().out.splitlines()[-1])
    return [f"{row['name']}/{row['number']}" for row in found["runs"]]


def test_the_newest_come_first(root, capsys):
    """All, or those of one name; a process that left without a word has died."""
    call(root, "list", "--json")
    assert names(capsys) == ["big/3", "big/2", "big/1", "small/1"]
    call(root, "list", "small", "--json")
    assert names(capsys) == ["small/1"]
    call(root, "list")
    out = capsys.readouterr().out
    assert "died" in out and "accuracy 0.5" in out and "big/1" in out


def test_no_runs_are_no_error_but_no_such_name_is(root, tmp_path, capsys):
    """The names that there are stand in the message."""
    call(tmp_path / "nothing", "list")
    assert "no runs under" in capsys.readouterr().out
    with pytest.raises(RunError, match="there is no run 'bigg'") as error:
        call(root, "list", "bigg")
    assert error.value.fix == "did you mean 'big'?"


def test_one_run_is_shown_with_its_checkpoints(root, capsys):
    """Names, sizes, states, files."""
    call(root, "show", "big/1")
    out = capsys.readouterr().out
    assert "last.ckpt" in out and "previous.ckpt" in out and "intact" in out
    assert "run.json" in out and "test.json" in out


def test_damage_is_found_and_is_the_exit_code(root, capsys):
    """The file is named, with what is wrong; 0 when all are intact."""
    call(root, "verify")
    assert "8 of 8 checkpoints are intact" in capsys.readouterr().out
    Run.find("big/2", root).last.write_bytes(b"torn")
    call(root, "verify", code=1)
    out = capsys.readouterr().out
    assert "big/2 last.ckpt is damaged: it has 4 bytes" in out and "7 of 8" in out
    call(root, "verify", "small", "--json")
    assert json.loads(capsys.readouterr().out)["damaged"] == 0


def test_pruning_shows_first_and_removes_with_yes(root, capsys):
    """The newest of each name stays unless told otherwise."""
    call(root, "prune")
    assert "2 runs would be removed" in capsys.readouterr().out
    call(root, "prune", "--keep", "9")
    assert "nothing to remove: the newest 9" in capsys.readouterr().out
    assert Run.find("big/1", root)
    call(root, "prune", "--yes", "--json")
    assert names(capsys) == ["big/2", "big/1"]
    call(root, "list", "--json")
    assert names(capsys) == ["big/3", "small/1"]


@pytest.mark.parametrize(
    ("arguments", "gone"),
    [
        (["--status", "failed"], ["big/2"]),
        (["--keep", "0", "--status", "died", "--status", "failed"], ["big/3", "big/2"]),
        (["--keep", "0", "--days", "2.5"], ["big/1", "small/1"]),
        (["small", "--keep", "0"], ["small/1"]),
    ],
)
def test_what_is_pruned_can_be_chosen(root, capsys, arguments, gone):
    """By state, number, age and name."""
    call(root, "prune", *arguments, "--json")
    assert names(capsys) == gone


def test_a_run_that_is_being_trained_is_never_removed(root, capsys):
    """Its state is running as long as some process holds it."""
    run = Run.find("big/3", root)
    with run.hold():
        call(root, "prune", "--keep", "0", "--json")
        assert "big/3" not in names(capsys)


def test_what_a_killed_removal_leaves_is_no_run(tmp_path, monkeypatch, capsys):
    """Whatever is gone already: the run before it is the one that stays, and the rest goes next."""
    unlink, removed = os.unlink, []

    def killed(path, **arguments):
        if len(removed) == 3:
            raise KeyboardInterrupt
        removed.append(Path(path).name)
        unlink(path, **arguments)

    whole = make(tmp_path, "x", days=1)
    for number in range(8):  # in whatever order the file system lists them
        run = make(tmp_path, "x", "failed", accuracy=0.5)
        (run.path / f"log{number}.txt").touch()
        with monkeypatch.context() as patch:
            patch.setattr(os, "unlink", killed)
            with pytest.raises(KeyboardInterrupt):
                history.remove(run)
        assert len(removed) == 3 and len(list((tmp_path / "x").iterdir())) == 2
        assert history.all_runs(tmp_path) == [whole] and Run.find("x", tmp_path) == whole
        call(tmp_path, "prune", "x")
        assert len(list((tmp_path / "x").iterdir())) == 2
        call(tmp_path, "prune", "x", "--yes")
        assert list((tmp_path / "x").iterdir()) == [whole.path]
        removed.clear()
    assert capsys.readouterr().out.count("nothing to remove") == 16


def test_a_link_to_a_run_is_one(tmp_path):
    """What it means is removed."""
    run = make(tmp_path, "elsewhere")
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / "1").symlink_to(run.path)
    history.remove(Run.find("x", tmp_path))
    assert list((tmp_path / "elsewhere").iterdir()) == [] and history.all_runs(tmp_path) == []


def test_looking_writes_nothing(root, capsys):
    """Not even a lock: the folder may be somebody else's."""
    (Run.find("big/3", root).path / ".lock").unlink(missing_ok=True)
    before = sorted(root.rglob("*"))
    for arguments in (["list"], ["show", "big/3"], ["verify"], ["prune"]):
        call(root, *arguments)
    assert sorted(root.rglob("*")) == before


def test_bad_arguments_are_refused(root):
    """Words, states and numbers."""
    with pytest.raises(UnknownKeyError, match="no command 'runs lst'"):
        runs.main(["lst"], None)
    with pytest.raises(InvalidValueError, match="no run has the state 'faild'"):
        call(root, "prune", "--status", "faild")
    with pytest.raises(InvalidValueError, match="--keep must be a whole number, got 'few'"):
        call(root, "prune", "--keep", "few")
    for pair in (
        ("--keep", "1.9"),
        ("--keep", "-1"),
        ("--days", "nan"),
        ("--days", "inf"),
    ):
        with pytest.raises(InvalidValueError):
            call(root, "prune", *pair)
    with pytest.raises(InvalidValueError, match="needs a run"):
        call(root, "show")


@pytest.mark.parametrize("name", ["run.json", "test.json"])
@pytest.mark.parametrize("text", ['{"status": "fin', "[]", '{"status": 1, "metrics": 1}'])
def test_a_damaged_run_is_listed_as_such(root, capsys, name, text):
    """The others are there as before, and it is removed only where its state is named."""
    (root / "big" / "1" / name).write_text(text)
    call(root, "list", "--json")
    rows = json.loads(capsys.readouterr().out)["runs"]
    states = {f"{row['name']}/{row['number']}": row["status"] for row in rows}
    assert states == {"big/1": "damaged", "big/2": "failed", "big/3": "died", "small/1": "finished"}
    call(root, "list")
    assert "damaged" in capsys.readouterr().out
    call(root, "prune", "--keep", "0", "--json")
    assert set(names(capsys)) == {"big/3", "big/2", "small/1"}
    call(root, "prune", "--keep", "0", "--status", "damaged", "--yes", "--json")
    assert names(capsys) == ["big/1"] and not (root / "big" / "1").exists()
