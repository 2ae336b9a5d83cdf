"""find_run: which folder a text means."""

import json
from pathlib import Path

import pytest

from dlplug.errors import RunError
from dlplug.storage.runs import find_run, read_status, run_names, runs_of


@pytest.fixture
def root(tmp_path):
    """Runs of two names; the first of ``b`` is the newest, ``b/9`` is no run."""
    for started, name in enumerate(("a/1", "a/10", "a/2", "b/1")):
        folder = tmp_path / name
        folder.mkdir(parents=True)
        (folder / "run.json").write_text(json.dumps({"status": "finished", "started": started}))
    (tmp_path / "b" / "9").mkdir()
    return tmp_path


@pytest.mark.parametrize(
    ("text", "found"), [("a", "a/10"), ("b", "b/1"), ("a/2", "a/2"), ("latest", "b/1")]
)
def test_a_name_a_number_and_latest(root, text, found):
    """Numbers are compared as numbers, times as times; a folder is found by its path."""
    assert find_run(text, root) == root / found
    assert find_run(str(root / found), "elsewhere") == root / found


def test_what_there_is(root):
    """In order, without what is no run."""
    assert run_names(root) == ["a", "b"] and run_names(root / "nothing") == []
    assert runs_of(root, "a") == [root / "a" / number for number in ("1", "2", "10")]
    assert runs_of(root, "../a") == []


def test_an_unknown_name_is_refused_with_the_nearest(tmp_path, root):
    """And with all that there are; where there are none it says that."""
    (root / "accent" / "1").mkdir(parents=True)
    (root / "accent" / "1" / "run.json").write_text("{}")
    with pytest.raises(RunError, match="there is no run 'acent'") as error:
        find_run("acent", root)
    assert error.value.known == "a, accent, b" and "did you mean 'accent'" in error.value.fix
    with pytest.raises(RunError) as error:
        find_run("latest", root / "nothing")
    assert error.value.known == "no runs at all"


@pytest.mark.parametrize("content", [None, "{", "[]", '{"status": "finished"}'])
def test_a_damaged_status_is_refused(tmp_path, content):
    """Missing, no JSON, no mapping, and half of what it must say."""
    if content is not None:
        Path(tmp_path, "run.json").write_text(content)
    with pytest.raises(RunError, match=r"run\.json is (missing or )?damaged"):
        read_status(tmp_path)
