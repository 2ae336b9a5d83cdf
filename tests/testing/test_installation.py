"""Entry points that nobody finds are told before anything else."""

import pytest

from dlplug.plugin import Registry
from dlplug.testing import conformance
from dlplug.testing.check import check_distribution
from dlplug.testing.example import FILE

PROJECT = """\
[project]
name = "acme-lost"

[project.entry-points."dlplug.losses"]
new_loss = "acme_lost:Loss"
"""
# What its imports cost is asked by the tests of dlplug/testing/imports.py.
pytestmark = pytest.mark.usefixtures("forked_report")


@pytest.fixture
def lost(fake_distribution, tmp_path):
    """An editable package that was installed before its pyproject was as it is now."""
    pytest.importorskip("tomllib", reason="Python 3.10 reads no pyproject.toml")
    lines = {"dlplug.losses": {"old_loss": "tests.testing.bad.others:Negated"}}
    site = fake_distribution("acme-lost", entry_points=lines, modules={"acme_lost.code": ""})
    (tmp_path / "pyproject.toml").write_text(PROJECT)
    fake_distribution.record_folder("acme-lost", tmp_path)
    return site


def test_what_was_not_installed_again_is_a_failure(lost, tmp_path):
    """Whatever else the rules say of the rest."""
    new, old, *others = check_distribution(Registry.discover(), "acme-lost")
    assert (new.component, new.rule, new.is_failure) == ("acme-lost:new_loss", "loads", True)
    assert new.reason == f"{tmp_path}/pyproject.toml names it only since it was installed"
    assert new.fix.startswith("install it again: pip install --no-build-isolation -e ")
    assert old.is_failure and "names it no longer since it was installed" in old.reason
    assert others[0].component == "acme-lost:old_loss"


def test_it_is_told_though_the_examples_name_it(lost, tmp_path):
    """They are no reason to speak of an unknown component."""
    path = tmp_path / "x.yaml"
    path.write_text("losses: {new_loss: {target: classes}}")
    new, old, *others = check_distribution(Registry.discover(), "acme-lost", path)
    assert (new.component, old.component) == ("acme-lost:new_loss", "acme-lost:old_loss")
    assert {v.component for v in others} == {"acme-lost:old_loss"}


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("losses: {old_loss: {targett: classes}}", "no key of losses.old_loss 'targett'"),
        ("losses: {noo_loss: {target: classes}}", "no loss 'noo_loss'"),
        ("losses: {new_loss: 3}", "losses.new_loss must be a mapping"),
    ],
)
def test_what_else_is_wrong_with_the_examples_is_told_beside_it(lost, tmp_path, text, reason):
    """A name is excused where an entry point that was not installed has it, and nothing else is."""
    path = tmp_path / "x.yaml"
    path.write_text(text)
    *gone, other = check_distribution(Registry.discover(), "acme-lost", path)
    assert [v.component for v in gone] == ["acme-lost:new_loss", "acme-lost:old_loss"]
    assert (other.kind, other.component, other.is_failure) == ("examples", "acme-lost", True)
    assert reason in other.reason and str(path) in other.reason


def test_another_kind_than_the_one_asked_for_is_left_out(lost, tmp_path, fake_distribution):
    """Whether it was not installed again, or its group does not exist; a module of hooks is one."""
    more = '[project.entry-points."dlplug.index"]\nnames = "acme_lost.names"\n'
    (tmp_path / "pyproject.toml").write_text(
        PROJECT.replace("dlplug.losses", "dlplug.architectures") + more
    )
    path = tmp_path / "x.yaml"
    path.write_text("architectures: {new_loss: {inputs: image}}")
    registry = Registry.discover()
    found = check_distribution(registry, "acme-lost", path, ["losses"])
    assert {v.component for v in found} == {"acme-lost:old_loss"}
    (hooks,) = check_distribution(registry, "acme-lost", path, ["hooks"])
    assert (hooks.kind, hooks.component) == ("hooks", "acme-lost:names")


def test_a_misspelt_group_is_told_though_the_examples_name_its_component(fake_distribution):
    """As its author would, who does not know yet."""
    lines = {
        "dlplug.architecture": {"net": "acme_group.net:Net"},
        "dlplug.losses": {"loss": "acme_group.loss:Loss"},
    }
    modules = {"acme_group.net": "class Net: ...", "acme_group.loss": "class Loss: ..."}
    site = fake_distribution("acme-group", entry_points=lines, modules=modules)
    (site / "acme_group" / FILE).write_text("architectures: {net: {inputs: image}}\n")
    verdict, *others = check_distribution(Registry.discover(), "acme-group")
    assert verdict.is_failure and "no entry-point group 'dlplug.architecture'" in verdict.reason
    assert {v.component for v in others} == {"acme-group:loss"}


def test_an_authors_own_tests_fail(lost):
    """With the same report, not while they are collected."""
    test = conformance("acme-lost")
    with pytest.raises(pytest.fail.Exception, match="new_loss"):
        test()
