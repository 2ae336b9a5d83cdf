"""What does not run anything loads nothing heavy; that is how help stays within its time."""

import json
import subprocess
import sys

import pytest

HEAVY = ("torch", "lightning", "pytorch_lightning", "torchmetrics", "jsonargparse", "rich", "numpy")
PROBE = """
import json, sys
from dlplug.cli import main
try:
    code = main(sys.argv[1:])
except SystemExit as exit:
    code = exit.code
print(json.dumps([code, [name for name in {heavy!r} if name in sys.modules]]))
"""


def loaded_by(arguments: list[str]) -> tuple[int, set[str]]:
    """Exit code of a command in a fresh interpreter, and the heavy libraries that it loaded."""
    line = [sys.executable, "-c", PROBE.format(heavy=HEAVY), *arguments]
    done = subprocess.run(line, capture_output=True, text=True, check=True)
    code, names = json.loads(done.stdout.splitlines()[-1])
    return code, set(names)


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        ("--help", 0),
        ("--version", 0),
        ("fit --help", 0),
        ("predict --help", 0),
        ("plugins list", 0),
        ("plugins list --kind losses --json", 0),
        ("doctor --help", 0),
        ("fit --loss.help", 0),
        ("guide", 0),
        ("describe losses", 0),
        ("completion bash", 0),
        ("config --help", 0),
        ("config schma", 2),
        ("__complete zsh -- fit --config configs/mnist_vit.yaml --architecture.", 0),
        ("__complete zsh -- fit --architecture ", 0),
        ("fti", 2),
        ("fit --confg x", 2),
        ("fit --config missing.yaml", 2),
        ("test", 2),
    ],
)
def test_help_and_early_errors_load_nothing_heavy(arguments, code):
    """Neither torch nor Lightning nor jsonargparse."""
    assert loaded_by(arguments.split()) == (code, set())


def test_the_probe_can_fail():
    """It sees what a command loads."""
    assert "torch" in loaded_by(["fit", "--loss.help", "focal"])[1]
