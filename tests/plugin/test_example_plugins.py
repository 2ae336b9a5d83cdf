"""The plugins in the folder ``plugins`` are complete packages whose own tests pass."""

import subprocess
import sys

import pytest

from tests.plugin.packages import PACKAGES, ROOT, every_package

MEMBERS = ("dlplug_{}", "README.md", "tests")


def test_every_package_is_found():
    """A plugin without a pyproject would be tested by nobody."""
    folders = sorted(path.parent.name for path in (ROOT / "plugins").glob("*/README.md"))
    assert folders and set(folders) <= {package.name for package in PACKAGES}


@every_package
def test_a_plugin_is_a_complete_package(package):
    """It is called like its folder, states its API, and has code, a README, a config and tests."""
    assert package.project["name"] == package.name
    assert package.project["entry-points"]["dlplug.api"] == {"major": "v1"}
    stem = package.name.removeprefix("dlplug-").replace("-", "_")
    members = [name.format(stem) for name in MEMBERS]
    assert [name for name in members if not (package.folder / name).exists()] == []
    readme = (package.folder / "README.md").read_text()
    configs = [path.name for path in package.folder.glob("*.yaml")]
    assert configs and [name for name in configs if name not in readme] == []


@pytest.mark.slow
@every_package
def test_the_tests_of_a_plugin_pass(package, tmp_path):
    """Run in the plugin's own folder, as its author does who has installed it."""
    package.require()
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    done = subprocess.run(
        command,
        cwd=package.folder,
        env=package.install(tmp_path),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-1000:]
