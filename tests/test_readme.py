"""Everything that the README tells a newcomer to type works, in the order in which it stands."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from dlplug.data.spec import FIELDS

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```", re.M | re.S)
# A few steps show that a command works; the whole training is `make fit`.
SHORTER = (
    " --trainer.max_epochs 1 --trainer.limit_train_batches 3"
    " --trainer.limit_val_batches 1 --trainer.limit_test_batches 1"
)


FIRST = ["make fit", "make test"]


def blocks(language: str) -> list[str]:
    return [text for name, text in BLOCK.findall(README) if name == language]


def commands() -> list[str]:
    return [line for block in blocks("bash") for line in block.splitlines()]


def test_the_two_commands_come_first_and_exist():
    """The README opens with `make fit` and `make test`, and the Makefile has both."""
    assert commands()[:2] == FIRST
    for command in FIRST:
        subprocess.run([*command.split(), "-n"], cwd=ROOT, check=True, capture_output=True)


def test_the_config_shown_is_the_file():
    """A YAML block that names a file is that file."""
    for block in blocks("yaml"):
        name, _, text = block.partition("\n")
        path = re.fullmatch(r"# (configs/\S+\.yaml)", name)
        assert path, f"the first line must name the file, not {name!r}"
        assert text == (ROOT / path[1]).read_text()


def test_the_arguments_that_are_filled_in_are_facts_about_the_data():
    """The whole list, with its own test, is in the plugins' README."""
    (sentence,) = re.findall(r"^Arguments of (.*?) are filled in", README, re.M | re.S)
    named = re.findall(r"`(\w+)`", sentence)
    assert len(named) > 5 and set(named) <= set(FIELDS)


@pytest.fixture(scope="module")
def newcomer(tmp_path_factory):
    """A folder with the configs and the plugins.

    pip installs into a folder of its own, so that the environment of the tests stays as it is.
    """
    folder = tmp_path_factory.mktemp("newcomer")
    for name in ("configs", "plugins"):
        shutil.copytree(
            ROOT / name, folder / name, ignore=shutil.ignore_patterns("build", "*.egg-info")
        )
    return folder


def run(command: str, folder: Path) -> None:
    environment = os.environ | {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "PYTHONPATH": str(folder / "installed"),
        "PIP_TARGET": str(folder / "installed"),
        "PIP_NO_DEPS": "1",
        "PIP_UPGRADE": "1",  # or else what is in that folder stays, and nothing is installed again
        "PIP_NO_INDEX": "1",
        "XDG_CACHE_HOME": str(folder / "cache"),
    }
    done = subprocess.run(
        command, shell=True, cwd=folder, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, f"$ {command}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"


def follow(language: str, text: str, folder: Path) -> None:
    """Do what a block says: run commands, write a file, bring the pyproject into that state."""
    if language == "bash":
        for command in filter(lambda line: line not in FIRST, text.splitlines()):
            command = command.replace(" -e ", " ./")  # pip takes no folder of its own for that
            run(command + SHORTER if "configs/mnist_vit.yaml" in command else command, folder)
    elif language == "python" and (path := re.match(r"# (\S+\.py)\n", text)):
        (folder / path[1]).write_text(text)
    elif language == "toml":
        pyproject = folder / "acme-net" / "pyproject.toml"
        for table in re.split(r"\n(?=\[)", text):
            if table.strip() not in pyproject.read_text():
                heading = table.splitlines()[0]
                assert heading not in pyproject.read_text(), f"{heading} is not what `new` writes"
                pyproject.write_text(f"{pyproject.read_text()}\n{table}")


def test_everything_works_for_a_newcomer(newcomer):
    """The README's blocks, followed one after the other, in a folder that is not the checkout."""
    for language, text in BLOCK.findall(README):
        follow(language, text, newcomer)
    assert (newcomer / "predictions.csv").is_file()
    assert (newcomer / "runs/first/1/learning_curves.png").is_file()
