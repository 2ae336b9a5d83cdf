"""Entry points that were written after the package was installed are recognised."""

import pytest

from dlplug.errors import UnknownComponentError
from dlplug.plugin import Registry
from dlplug.plugin.absent import absent_fix
from dlplug.plugin.installed_before import unseen_lines

pytest.importorskip("tomllib", reason="Python 3.10 reads no pyproject.toml")

PROJECT = """
[project]
name = "acme-late"

[project.entry-points."dlplug.architectures"]
late_net = "acme_late:Net"
early_net = "acme_late:Net"

[project.entry-points."console_scripts"]
acme = "acme_late:main"
"""


@pytest.fixture
def late(fake_distribution, tmp_path):
    """An editable package that is installed with one of its two lines; gives its folder."""
    lines = {"dlplug.architectures": {"early_net": "acme_late:Net"}}
    fake_distribution("acme-late", entry_points=lines)
    folder = tmp_path / "my work"
    folder.mkdir()
    (folder / "pyproject.toml").write_text(PROJECT)
    fake_distribution.record_folder("acme-late", folder)
    return folder


def test_a_new_line_is_found(late):
    """That of another tool is none of dlplug's business."""
    (unseen,) = [u for u in unseen_lines() if u.distribution == "acme-late"]
    assert unseen.lines == (("dlplug.architectures", "late_net"),) and not unseen.changed
    assert unseen.fix == f"install it again: pip install --no-build-isolation -e '{late}'"


def test_a_line_that_was_changed_or_deleted_is_found(late):
    """With what stands there now; spaces and quotes are none of it."""
    pyproject = late / "pyproject.toml"
    pyproject.write_text(PROJECT.replace('early_net = "acme_late:Net"', "early_net = 'acme : Net'"))
    (unseen,) = [u for u in unseen_lines() if u.distribution == "acme-late"]
    early = ("dlplug.architectures", "early_net")
    assert unseen.changed == ((early, "acme:Net"),)
    said = dict(unseen.differences())[early]
    assert said == f"{pyproject}, line 7 says acme:Net since it was installed"
    pyproject.write_text(
        "[project]\nname = 'acme-late'\n[project.entry-points.pytest11]\nx = 'y'\n"
    )
    (unseen,) = [u for u in unseen_lines() if u.distribution == "acme-late"]
    assert list(unseen.differences()) == [
        (early, f"{pyproject} names it no longer since it was installed")
    ]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[project",
        "project = 3",
        "[project]\nentry-points = 3",
        "[project]\ndynamic = ['entry-points']",
        "[project]\nname = 'acme-late'",
        "[project]\n[project.entry-points]",
        "[project]\n[tool.poetry.plugins.'dlplug.architectures']\nearly_net = 'acme_late:Net'",
    ],
)
def test_a_project_of_another_form_says_nothing(late, text):
    """It has its entry points elsewhere, or pip tells what is wrong with it."""
    (late / "pyproject.toml").write_text(text)
    assert [u for u in unseen_lines() if u.distribution == "acme-late"] == []


def test_an_unknown_name_is_told_to_be_new(late):
    """In its own kind only."""
    registry = Registry.discover()
    with pytest.raises(UnknownComponentError) as caught:
        registry.find("architecture", "late_net")
    assert "pyproject.toml names it only since it was installed; install it" in caught.value.fix
    with pytest.raises(UnknownComponentError) as caught:
        registry.find("loss", "late_net")
    assert "since it was installed" not in caught.value.fix


def test_a_package_without_any_line_yet_is_told(late, fake_distribution, tmp_path):
    """One whose lines are not installed, and one that has none."""
    next(tmp_path.glob("*/*/acme_late-1.0.dist-info/entry_points.txt")).unlink()
    fix = absent_fix("acme_late", ["dlplug"])
    assert fix.startswith("its pyproject.toml names late_net, early_net only since it was install")
    fake_distribution("acme-bare")
    fix = absent_fix("acme-bare", ["dlplug"])
    assert fix.startswith("acme-bare is installed and offers nothing: add to its pyproject")


def test_other_words_get_their_next_step(late, monkeypatch):
    """A file, a folder, a slip, a stranger."""
    assert absent_fix("nets/my_net.py", []).endswith(
        "plugins check my_net.py --plugin ./nets/my_net.py"
    )
    monkeypatch.chdir(late.parent)
    assert absent_fix("my work", []) == "pip install --no-build-isolation -e 'my work'"
    assert absent_fix("acme-nut", ["acme-net"]) == "did you mean 'acme-net'?"
    assert absent_fix("zzz", ["dlplug"]) == "install it: pip install --no-build-isolation -e FOLDER"
