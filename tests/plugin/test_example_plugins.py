"""The plugins in the folder ``plugins`` are complete packages whose own tests pass."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from dlplug.plugin import Registry, Status

ROOT = Path(__file__).parents[2]
PACKAGES = sorted(path.parent for path in (ROOT / "plugins").glob("*/pyproject.toml"))
WITH_TESTS = [package for package in PACKAGES if (package / "tests").is_dir()]


def entry_points_of(pyproject):
    """The tables ``[project.entry-points.*]`` of a pyproject: ``{group: {name: value}}``."""
    # Read as text: tomllib came with Python 3.11 only.
    tables = re.findall(
        r'^\[project\.entry-points\."?([\w.]+)"?\]\n((?:.*\S.*\n)+)', pyproject, re.M
    )
    return {group: dict(re.findall(r'^(\w+) = "(.*)"$', body, re.M)) for group, body in tables}


@pytest.mark.parametrize("package", PACKAGES, ids=lambda path: path.name)
def test_every_entry_point_is_sound(package, fake_distribution, monkeypatch):
    """Installed as its pyproject says, all that a plugin offers is available and loads."""
    lines = entry_points_of((package / "pyproject.toml").read_text())
    assert "dlplug.api" in lines
    fake_distribution(package.name, entry_points=lines)
    monkeypatch.syspath_prepend(package)
    registry = Registry.discover(allow=[package.name])
    registry.load_hooks()
    (plugin,) = [p for p in registry.plugins() if p.name == package.name]
    assert [(e.status, e.reason) for e in plugin.entries if e.is_problem] == []
    for entry in plugin.entries:
        entry.load()
    assert plugin.status is Status.LOADED


@pytest.mark.slow
@pytest.mark.parametrize("package", WITH_TESTS, ids=lambda path: path.name)
def test_the_tests_of_a_plugin_pass(package):
    """Run in the plugin's own folder, as its author does."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    done = subprocess.run(command, cwd=package, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-3000:]
