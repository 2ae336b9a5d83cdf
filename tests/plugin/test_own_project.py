"""What is wrong with an entry point is told to its author with file and line."""

import pytest

from dlplug.errors import ComponentLoadError, PluginError, UnknownComponentError
from dlplug.plugin import Registry
from dlplug.plugin.own_project import OwnProject, project_named

pytest.importorskip("tomllib", reason="Python 3.10 reads no pyproject.toml")

PROJECT = """\
[project]
name = "acme-own"

[project.entry-points."dlplug.{group}"]  # what it offers
other = "acme_own.network:Net"
"own_net" = "{target}"
"""
CODE = {"acme_own.network": "class Net: ...", "acme_own.loss": "import acme_own.nothing"}


@pytest.fixture
def own(fake_distribution, tmp_path):
    """Call it with a target: installs a package from a folder, and gives the folder."""

    def install(target, group="architectures", is_editable=True):
        lines = {f"dlplug.{group}": {"other": "acme_own.network:Net", "own_net": target}}
        fake_distribution("acme-own", entry_points=lines, modules=CODE)
        folder = tmp_path / "acme own"
        folder.mkdir()
        (folder / "pyproject.toml").write_text(PROJECT.format(group=group, target=target))
        fake_distribution.record_folder("acme-own", folder, is_editable)
        return folder

    return install


def fix_of(kind="architectures"):
    """Of the error that loading gives."""
    with pytest.raises(PluginError) as caught:
        Registry.discover().find(kind, "own_net").load()
    return caught.value


@pytest.mark.parametrize(
    ("target", "reason"),
    [
        ("acme_own.netwrk:Net", "No module named 'acme_own.netwrk'; did you mean 'acme_own.net"),
        ("acme_on.network:Net", "No module named 'acme_on'"),
        ("acme_own.network:Nett", "has no attribute 'Nett'; did you mean 'Net'?"),
        ("acme_own.network.Net", "module:Name; did you mean 'acme_own.network:Net'?"),
        ("acme_own.network:__name__", "of type str, not a class or function"),
    ],
)
def test_the_line_to_correct_is_named(own, target, reason):
    """With what makes the correction count."""
    folder = own(target)
    error = fix_of()
    assert reason in error.what
    assert error.fix == (
        f"correct {folder}/pyproject.toml, line 6, and install it again:"
        f" pip install --no-build-isolation -e '{folder}'"
    )


def test_what_the_code_does_wrong_is_no_fault_of_the_line(own):
    """Though a module is missing there, too."""
    folder = own("acme_own.loss:Loss")
    error = fix_of()
    assert error.fix == f"correct its code in {folder}" and "loss.py, line 1" in error.what


def test_a_correction_that_was_not_installed_is_told(own):
    """The line is right by now."""
    folder = own("acme_own.network:Nett")
    pyproject = folder / "pyproject.toml"
    pyproject.write_text(pyproject.read_text().replace("Nett", "Net"))
    assert fix_of().fix.startswith(
        f"{pyproject}, line 6 says otherwise since it was installed; ins"
    )


@pytest.mark.parametrize("is_editable", [True, False])
def test_a_preset_that_is_not_there(own, is_editable):
    """It is missing, or what was installed lacks it."""
    folder = own("acme_own.presets:small", "presets", is_editable)
    error = fix_of("presets")
    correct = f"correct {folder}/pyproject.toml, line 6, and install it again: pip install"
    along = 'acme_own = ["presets/*.yaml"] under [tool.setuptools.package-data]'
    if is_editable:
        assert error.fix.startswith(f"write that file, or {correct}")
    else:
        take = f"take it along, by {along} in {folder}/pyproject.toml"
        assert error.fix.startswith(f"{take}, or {correct}")
        assert error.fix.endswith(f"pip install --no-build-isolation '{folder}'")


def test_a_preset_that_a_strangers_package_lacks(fake_distribution):
    """Its authors are told what to write."""
    lines = {"dlplug.presets": {"own_net": "acme_own.presets.vision:small"}}
    fake_distribution("acme-own", entry_points=lines, modules=CODE)
    fix = fix_of("presets").fix
    assert fix.startswith("update acme-own or tell its authors; ")
    assert 'acme_own = ["presets/vision/*.yaml"] under [tool.setuptools.package-data]' in fix


def test_a_misspelt_group_is_told_where_its_component_is_used(own, fake_distribution):
    """By the heading, and to a stranger without a file."""
    folder = own("acme_own.network:Net", "architecture")
    with pytest.raises(UnknownComponentError) as caught:
        Registry.discover().find("architecture", "own_net")
    assert caught.value.fix.startswith(
        "acme-own 1.0 names it in vain: this dlplug has no entry-point group 'dlplug.architecture';"
        f" did you mean 'dlplug.architectures'?; correct {folder}/pyproject.toml, line 4, and inst"
    )
    lines = {"dlplug.zzz": {"their_net": "acme_own.network:Net"}}
    fake_distribution("acme-theirs", entry_points=lines)
    with pytest.raises(UnknownComponentError) as caught:
        Registry.discover().find("loss", "their_net")
    assert "group 'dlplug.zzz'; update dlplug, or ask the authors of acme-t" in caught.value.fix


def test_a_folder_without_such_a_line_is_named_itself(own):
    """Of a package with a setup.py, or whose folder is gone."""
    folder = own("acme_own.network:Nett")
    (folder / "pyproject.toml").write_text("[build-system]\n")
    assert fix_of().fix.startswith(f"correct {folder}/pyproject.toml, and install it again")
    (folder / "pyproject.toml").unlink()
    assert OwnProject(folder, True).place("dlplug.losses", "own_net") == str(folder)
    folder.rmdir()
    assert project_named("acme-own") is None and project_named("") is None


def test_an_extra_is_no_part_of_the_target(own):
    """A line with one is told like others."""
    folder = own("acme_own.network:Nett")
    pyproject = folder / "pyproject.toml"
    pyproject.write_text(pyproject.read_text().replace("Nett", "Nett [fast]"))
    with pytest.raises(ComponentLoadError, match=r"fix:   correct .*, line 6, and"):
        Registry.discover().find("architectures", "own_net").load()
