"""env.json: the surroundings of a run."""

import json
import subprocess

import torch

from dlplug.run.environment import environment, git_state


class Data:
    split_seed = 5

    def fingerprint(self):
        return {"records": {"train": 3}}


def test_it_holds_what_can_change_a_result():
    """Seeds, hardware, versions and the data's fingerprint, as plain JSON."""
    found = json.loads(json.dumps(environment(7, Data())))
    assert found["seeds"] == {"training": 7, "split": 5}
    assert found["libraries"]["torch"] == str(torch.__version__)
    assert found["hardware"]["cpus"] >= 1
    assert found["data"] == {"name": "Data", "records": {"train": 3}}


def test_data_without_a_fingerprint_is_named():
    """Somebody else's data module needs no method of ours."""
    assert environment(7, object())["data"] == {"name": "object"}


def test_git_says_commit_and_changes(tmp_path, monkeypatch):
    """The commit, and whether files differ from it; None outside a repository."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert git_state() is None
    identity = ["-c", "user.name=t", "-c", "user.email=t@t"]
    for command in (["init", "-q"], [*identity, "commit", "-q", "--allow-empty", "-m", "first"]):
        subprocess.run(["git", *command], check=True, cwd=tmp_path)
    state = git_state()
    assert len(state["commit"]) == 40 and state["changed"] is False
    (tmp_path / "new.txt").write_text("x")
    assert git_state()["changed"] is True
