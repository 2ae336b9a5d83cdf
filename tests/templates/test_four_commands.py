"""From nothing to a trained and checked plugin, in an environment of its own."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
COMMANDS = (
    "python -m dlplug new architecture acme-net",
    "pip install --no-build-isolation -e acme-net",
    "python -m dlplug fit --config acme-net/acme_net.yaml --json",
    "python -m dlplug plugins check acme-net --json",
)
# Far above guessing, which reaches 0.1.
LEARNED = 0.8


@pytest.fixture
def shell(tmp_path):
    """Runs a line as in an activated environment that sees the packages of this one."""
    home = tmp_path / "environment"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(home)], check=True)
    (site,) = (home / "lib").glob("python*/site-packages")
    others = [path for path in sys.path if path.endswith("site-packages")]
    lines = [f"import site; site.addsitedir({path!r})" for path in others]
    (site / "others.pth").write_text("\n".join([str(ROOT), *lines]) + "\n")
    environment = os.environ | {
        "PATH": f"{home / 'bin'}{os.pathsep}{os.environ['PATH']}",
        "PIP_NO_INDEX": "1",
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "PIP_ROOT_USER_ACTION": "ignore",
        "XDG_CACHE_HOME": str(tmp_path / "cache"),
    }

    def run(line: str) -> subprocess.CompletedProcess:
        words = line.split()
        words[:1] = ["python", "-m", "pip"] if words[0] == "pip" else words[:1]
        words[0] = str(home / "bin" / "python")
        return subprocess.run(words, cwd=tmp_path, env=environment, capture_output=True, text=True)

    return run


@pytest.mark.slow
def test_four_commands_from_nothing_to_a_checked_plugin(shell):
    """Offline: written, installed in place, trained, and no rule is broken; its tests pass too."""
    outcomes = [shell(line) for line in COMMANDS]
    for line, done in zip(COMMANDS, outcomes, strict=True):
        assert done.returncode == 0, f"{line}\n{done.stdout}\n{done.stderr}"
    *_, fitted, checked = (done.stdout.splitlines()[-1] for done in outcomes)
    assert json.loads(fitted)["metrics"]["test_accuracy"] > LEARNED
    verdicts = json.loads(checked)
    assert verdicts["ok"] and verdicts["counts"]["ok"] >= 20
    tested = shell("python -m pytest -q -p no:cacheprovider acme-net")
    assert tested.returncode == 0 and "skipped" not in tested.stdout, tested.stdout
