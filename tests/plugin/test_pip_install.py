"""A plugin that pip has installed: nothing of the checkout's folder is needed any more."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PLUGIN = ROOT / "plugins/dlplug-tabular"
FIT = (
    "fit --config {config} --architecture rtdl_mlp --architecture.n_blocks 2"
    " --architecture.d_block 128 --data.flatten true --trainer.max_epochs 8 --json"
)
# Far above guessing, which reaches 0.1.
LEARNED = 0.9


@pytest.fixture
def installed(tmp_path):
    """The environment of a process that has the plugin, installed from a copy by pip."""
    pytest.importorskip("rtdl_revisiting_models", reason="what the plugin requires")
    source = shutil.copytree(PLUGIN, tmp_path / "source")
    target = tmp_path / "installed"
    options = ["--quiet", "--no-deps", "--no-build-isolation", "--target", str(target)]
    subprocess.run([sys.executable, "-m", "pip", "install", *options, str(source)], check=True)
    shutil.rmtree(source)
    return os.environ | {"PYTHONPATH": str(target), "XDG_CACHE_HOME": str(tmp_path / "cache")}


def test_a_library_that_never_heard_of_dlplug_learns_digits(installed, tmp_path):
    """Width and classes of its network are filled in from the data."""
    command = FIT.format(config=ROOT / "configs/digits_mlp.yaml").split()
    done = subprocess.run(
        [sys.executable, "-m", "dlplug", *command],
        cwd=tmp_path,
        env=installed,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout.splitlines()[-1])
    assert result["metrics"]["test_accuracy"] > LEARNED
    lock = json.loads((tmp_path / result["run"] / "plugins.lock").read_text())
    assert "dlplug-tabular:rtdl_mlp" in [entry["id"] for entry in lock["components"]]


def test_the_wheel_holds_the_examples_of_the_kit(installed):
    """What the conformance kit cannot guess lies beside the code."""
    folder = Path(installed["PYTHONPATH"], "dlplug_tabular")
    assert (folder / "dlplug_examples.yaml").is_file()
