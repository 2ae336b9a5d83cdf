"""Discovery and listing read metadata only, asked of a fresh interpreter."""

import json
import os
import subprocess
import sys

import pytest

HEAVY = ("torch", "lightning", "pytorch_lightning", "jsonargparse", "rich", "numpy")
PLUGIN = ("acme_fresh", "acme_fresh_hooks", "no_such_module")

DISCOVER = """
from dlplug.plugin import Registry
registry = Registry.discover()
registry.components(), registry.names("loss"), registry.plugins(), registry.problems()
assert registry.find("loss", "acme_dice").distribution == "acme-fresh"
"""
LIST = """
from dlplug.cli.plugins import main
main(["list"], registry)
main(["list", "--json", "--kind", "loss"], registry)
"""


@pytest.fixture
def loaded_by(fake_distribution, tmp_path):
    """Run code in a fresh interpreter that has one plugin; returns the modules that it loaded."""
    site = fake_distribution(
        "acme-fresh",
        entry_points={
            "dlplug.losses": {"acme_dice": "acme_fresh:Dice"},
            "dlplug": {"hooks": "acme_fresh_hooks"},
        },
        modules={"acme_fresh": "class Dice: pass", "acme_fresh_hooks": "import dlplug"},
    )
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(site), os.getcwd()]),
        "XDG_CACHE_HOME": str(tmp_path),
    }

    def run(code):
        names = HEAVY + PLUGIN
        code += f"\nimport json, sys; print(json.dumps([m for m in {names!r} if m in sys.modules]))"
        command = [sys.executable, "-c", code]
        done = subprocess.run(command, capture_output=True, text=True, env=environment)
        assert done.returncode == 0, done.stderr
        return set(json.loads(done.stdout.splitlines()[-1]))

    return run


def test_discovery_imports_no_component_and_no_torch(loaded_by):
    """Finding, naming and resolving load neither a plugin's module nor a heavy library."""
    assert loaded_by(DISCOVER) == set()


def test_listing_imports_no_component_and_no_torch(loaded_by):
    """``plugins list`` works from metadata alone."""
    assert loaded_by(DISCOVER + LIST) == set()


@pytest.mark.parametrize(
    ("code", "module"),
    [
        ("registry.find('loss', 'acme_dice').load()", "acme_fresh"),
        ("registry.load_hooks()", "acme_fresh_hooks"),
        ("import rich", "rich"),
    ],
)
def test_the_probe_can_fail(loaded_by, code, module):
    """The probe sees a plugin's module, and a library, as soon as one is imported."""
    assert loaded_by(DISCOVER + code) == {module}
