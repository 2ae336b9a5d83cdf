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
    verdicts = check_distribution(Registry.discover(), "acme-lost", path)
    assert [v.component for v in verdicts] == ["acme-lost:new_loss", "acme-lost:old_loss"]


def test_a_misspelt_group_is_told_though_the_examples_name_its_component(fake_distribution):
    """As its author would, who does not know yet."""
    lines = {
        "dlplug.architecture": {"net": "acme_group.net:Net"},
        "dlplug.losses": {"loss": "acme_group.loss:Loss"},
    }
    modules = {"acme_group.net": "class Net: ...", "acme_group.loss": "class Loss: ..."}
    site = fake_distribution("acme-group", entry_points=lines, modules=modules)
    (site / "acme_group" / FILE).write_text("architectures: {net: {inputs: image}}\n")
    (verdict,) = check_distribution(Registry.discover(), "acme-group")
    assert verdict.is_failure and "no entry-point group 'dlplug.architecture'" in verdict.reason


def test_an_authors_own_tests_fail(lost):
    """With the same report, not while they are collected."""
    test = conformance("acme-lost")
    with pytest.raises(pytest.fail.Exception, match="new_loss"):
        test()
