"""The plugins in the folder ``plugins`` are complete packages whose own tests pass."""

import ast
import subprocess
import sys

import pytest

from tests.plugin.packages import (
    PACKAGES,
    ROOT,
    Package,
    entry_points_of,
    every_package,
    tables_of,
)

MEMBERS = ("dlplug_{}", "README.md", "tests")


def test_every_package_is_found():
    """A plugin without a pyproject would be tested by nobody."""
    folders = sorted(path.parent.name for path in (ROOT / "plugins").glob("*/README.md"))
    assert folders and set(folders) <= {package.name for package in PACKAGES}


def test_a_requirement_is_met_in_any_spelling(tmp_path):
    """A package's own extras too, whose name its folder spells in another way."""
    (tmp_path / "Acme_Net").mkdir()
    (tmp_path / "Acme_Net" / "pyproject.toml").write_text(
        '[project]\ndependencies = ["DLplug", "acme.net[fast]", "PyTest"]\n'
    )
    try:
        Package(tmp_path / "Acme_Net").require()
    except pytest.skip.Exception as skipped:
        pytest.fail(str(skipped))


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


def test_no_test_needs_a_later_python():
    """The tests can be run by the oldest Python that the packages are for, 3.10."""
    files = [*(ROOT / "tests").rglob("*.py"), *(ROOT / "plugins").rglob("*.py")]
    needing = [
        str(path.relative_to(ROOT))
        for path in files
        for node in ast.parse(path.read_text()).body
        if isinstance(node, ast.Import) and "tomllib" in [alias.name for alias in node.names]
    ]
    assert files and needing == []


@every_package
def test_a_pyproject_is_read_as_tomllib_reads_it(package):
    """Its project, and its entry points."""
    tomllib = pytest.importorskip("tomllib", reason="came with Python 3.11")
    text = (package.folder / "pyproject.toml").read_text()
    project = tomllib.loads(text)["project"]
    assert tables_of(text)["project"] | {"entry-points": entry_points_of(text)} == project
    assert package.project == project


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
