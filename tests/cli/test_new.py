"""``new``: what is written, what comes next, and errors of names and folders."""

import shlex

import pytest

KINDS = ("architecture", "loss", "callback", "datamodule", "task")


@pytest.mark.parametrize("kind", KINDS)
def test_a_plugin_is_written_and_the_next_commands_are_told(command, tmp_path, kind):
    """In the folder that --path names."""
    done = command("new", kind, f"acme-{kind}", "--path", "mine")
    assert done.code == 0, done.err
    assert f"wrote mine/acme-{kind}/pyproject.toml" in done.out
    assert f"python -m dlplug plugins check acme-{kind}" in done.out
    pyproject = (tmp_path / f"mine/acme-{kind}/pyproject.toml").read_text()
    assert f"acme_{kind} = " in pyproject


def test_the_next_commands_can_be_copied(command, tmp_path):
    """Whatever the folder is called."""
    told = command("new", "loss", "acme-loss", "--path", "my ü; plugins").out.partition("Now:")[2]
    words = [word for line in told.splitlines() for word in shlex.split(line)]
    for path in ("my ü; plugins/acme-loss", "my ü; plugins/acme-loss/acme_loss.yaml"):
        assert path in words and (tmp_path / path).exists()


def test_json_names_the_files(command):
    """And their folder."""
    answer = command("new", "loss", "acme-loss", "--json").json
    assert answer["folder"] == "acme-loss" and "acme-loss/acme_loss/loss.py" in answer["files"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["loss"], "new loss needs a NAME"),
        (["loss", "mse"], "a plugin cannot be called 'mse'"),
        (["lost", "acme"], "did you mean 'new loss'"),
    ],
)
def test_mistakes_are_errors(command, tmp_path, words, message):
    """Exit code 2, and nothing is written."""
    done = command("new", *words)
    assert done.code == 2 and message in done.err
    assert list(tmp_path.iterdir()) == []


def test_a_second_time_is_an_error(command):
    """Nothing is overwritten."""
    assert command("new", "loss", "acme-loss").code == 0
    done = command("new", "loss", "acme-loss")
    assert done.code == 2 and "is there already" in done.err
