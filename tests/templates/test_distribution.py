"""What ``new`` writes is complete, clean, and keeps the rules that every component keeps."""

import os
import subprocess
import sys
from importlib.resources import files
from pathlib import Path

import pytest

from dlplug.errors import InvalidValueError
from dlplug.plugin import Registry
from dlplug.templates.distribution import STARTS, filled, write_distribution
from dlplug.templates.names import LONGEST, Names
from dlplug.testing.check import check_distribution
from dlplug.testing.verdict import report_text
from tests.plugin.packages import entry_points_of

# What its imports cost is asked by the tests of dlplug/testing/imports.py.
pytestmark = pytest.mark.usefixtures("forked_report")
ROOT = Path(__file__).parents[2]
SHORT, LONG = "ab", "-".join(["abcdefghi"] * 3)
RULES = "E,F,I,UP,B,SIM,RUF"


@pytest.fixture(autouse=True)
def forgotten():
    """Let other tests find that no such module was ever imported."""
    known = set(sys.modules)
    yield
    for name in set(sys.modules) - known:
        if name.startswith("acme_"):
            del sys.modules[name]


def test_the_longest_name_is_tried():
    """Below, so that lines are known to be short enough."""
    assert LONGEST - len(LONG) == 1


@pytest.mark.parametrize("kind", STARTS)
@pytest.mark.parametrize("name", [SHORT, LONG])
def test_every_file_is_clean(kind, name, tmp_path):
    """As ruff checks and formats it, whatever the length of the names."""
    write_distribution(Names(kind, name), tmp_path)
    ruff = [sys.executable, "-m", "ruff"]
    for words in (["check", "--select", RULES], ["format", "--check"]):
        command = [*ruff, *words, "--no-cache", str(tmp_path / name)]
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("kind", STARTS)
def test_nothing_is_left_to_be_filled_in(kind):
    """Neither in a text nor in a path, and every template of the kind is used."""
    found = filled(Names(kind, "acme-x"))
    assert not [p for p, text in found.items() if "PACKAGE" in p or "${" in text or "TODO" in text]
    folders = [files("dlplug.templates") / f for f in ("common", STARTS[kind].folder)]
    templates = [path for folder in folders for path in Path(str(folder)).rglob("*.*")]
    assert len(found) == len([path for path in templates if path.is_file()])
    assert {"pyproject.toml", "README.md", "acme_x/__init__.py", "acme_x.yaml"} <= set(found)


def test_nothing_is_overwritten(tmp_path):
    """A folder, a file or a link of that name stays as it is, and no draft is left."""
    names = Names("losses", "acme-x")
    (tmp_path / "acme-x").symlink_to("nowhere")
    with pytest.raises(InvalidValueError, match="acme-x' is there already") as caught:
        write_distribution(names, tmp_path)
    assert "--path DIR" in caught.value.fix
    assert [path.name for path in tmp_path.iterdir()] == ["acme-x"]


def test_the_slower_one_of_two_overwrites_nothing(tmp_path, monkeypatch):
    """Nor does it put its package into that of the other."""
    names, own = Names("losses", "acme-x"), tmp_path / "acme-x" / "mine.py"

    def slow(names):
        own.parent.mkdir()
        own.write_text("X = 1")
        return filled(names)

    monkeypatch.setattr("dlplug.templates.distribution.filled", slow)
    with pytest.raises(InvalidValueError, match=r"cannot write .*acme-x': Directory not empty"):
        write_distribution(names, tmp_path)
    assert [path.name for path in tmp_path.rglob("*")] == ["acme-x", "mine.py"]


def test_a_folder_that_cannot_be_written_is_an_error(tmp_path):
    """It is a file."""
    (tmp_path / "taken").write_text("")
    with pytest.raises(InvalidValueError, match="cannot write"):
        write_distribution(Names("losses", "acme-x"), tmp_path / "taken")


@pytest.mark.slow
def test_the_tests_of_every_new_plugin_pass_at_once(tmp_path):
    """Before anything is installed; what needs that is skipped and says so."""
    for kind, start in STARTS.items():
        write_distribution(Names(kind, f"acme-{start.folder}"), tmp_path)
    roots = [str(tmp_path / f"acme-{start.folder}") for start in STARTS.values()]
    command = [sys.executable, "-m", "pytest", "-q", "-rs", "--import-mode=importlib"]
    done = subprocess.run(
        [*command, "-p", "no:cacheprovider", *roots],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), *roots])},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout
    assert f"{len(STARTS)} skipped" in done.stdout
    assert "acme-loss is not installed: pip install --no-build-isolation -e ." in done.stdout


@pytest.mark.parametrize("kind", STARTS)
def test_every_new_plugin_keeps_every_rule(kind, fake_distribution, tmp_path, monkeypatch):
    """Installed as its pyproject says; its config names it."""
    name = f"acme-{STARTS[kind].folder}"
    write_distribution(Names(kind, name), tmp_path)
    monkeypatch.syspath_prepend(tmp_path / name)
    lines = entry_points_of((tmp_path / name / "pyproject.toml").read_text())
    fake_distribution(name, entry_points=lines)
    verdicts = check_distribution(Registry.discover(), name)
    failures = [verdict for verdict in verdicts if verdict.is_failure]
    assert verdicts and not failures, report_text(name, "0.1.0", failures)
    package = name.replace("-", "_")
    assert package in (tmp_path / name / f"{package}.yaml").read_text()
