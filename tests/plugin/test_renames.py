"""Old names that distributions declare: found, followed, or a status that says what is wrong."""

import pytest

from dlplug.errors import ComponentConflictError, PluginError, UnknownComponentError
from dlplug.plugin import Registry, Status
from dlplug.plugin import builtins as table

LOSSES = {"gini": "acme_losses:Gini", "focus": "acme_losses:Focus"}
MODULE = "class Gini: pass\nclass Focus: pass\n"


@pytest.fixture
def discover(fake_distribution):
    """A registry with a distribution that renames something."""

    def make(renamed=(), parameters=(), **others):
        lines = {"dlplug.losses": LOSSES, "dlplug.renamed": dict(renamed), **others}
        lines["dlplug.renamed_parameters"] = dict(parameters)
        fake_distribution("acme-losses", "2.3", entry_points=lines, modules={"acme_losses": MODULE})
        return Registry.discover()

    return make


def test_an_old_name_finds_the_component(discover, capsys):
    """By short name and id, through a chain; said once; nothing is imported."""
    registry = discover({"losses.soft_gini": "gini", "losses.gini_1": "soft_gini"})
    for name in ("soft_gini", "gini_1", "acme-losses:gini_1", "Acme_Losses:gini_1"):
        found = registry.find("loss", name, where="a.yaml, line 3")
        assert found.id == "acme-losses:gini" and found.value is None
    registry.find("losses", "gini_1", where="b.yaml")
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "loss 'soft_gini' is now called 'gini' (a.yaml, line 3)"
    assert len(lines) == 4 and len(set(lines)) == 4
    registry.find("losses", "gini")
    assert capsys.readouterr().err == ""
    with pytest.raises(UnknownComponentError):
        registry.find("metrics", "soft_gini")
    with pytest.raises(UnknownComponentError):
        registry.find("losses", "other:soft_gini")


def test_parameters_follow_the_component(discover):
    """Declared under its old or its present name, through chains of both."""
    registry = discover(
        {"losses.soft_gini": "gini"},
        {"losses.gini.eps": "epsilon", "losses.gini.epsilon": "smooth", "losses.soft_gini.p": "q"},
    )
    expected = {"eps": "smooth", "epsilon": "smooth", "p": "q"}
    assert registry.renames.parameters("losses", "acme-losses:gini") == expected
    assert registry.renames.parameters("losses", "acme-losses:focus") == {}
    assert all(e.status is Status.AVAILABLE for p in registry.plugins()[1:] for e in p.entries)


@pytest.mark.parametrize(
    ("renamed", "parameters", "reason"),
    [
        ({"losses.a": "b", "losses.b": "a"}, {}, "the new names go in a circle: a -> b -> a"),
        ({"losses.a": "a"}, {}, "the new names go in a circle: a -> a"),
        ({"losses.focus": "gini"}, {}, "loss 'focus' is both a component and an old name of one"),
        ({"losses.a": "absent"}, {}, "acme-losses has no loss 'absent'"),
        ({"loss.a": "gini"}, {}, "'loss.a' is not KIND.OLD_NAME, as in architectures.old_name"),
        ({"a": "gini"}, {}, "'a' is not KIND.OLD_NAME, as in architectures.old_name"),
        ({"losses.a": "new-name"}, {}, "malformed entry point 'losses.a = new-name'"),
        ({}, {"losses.gini.a": "b", "losses.gini.b": "a"}, "the new names go in a circle: a -> b"),
        ({}, {"losses.absent.a": "b"}, "acme-losses has no loss 'absent'"),
        ({}, {"losses.gini.a": "b.c"}, "'b.c' cannot be the name of a parameter"),
        ({}, {"losses.gini": "b"}, "'losses.gini' is not KIND.COMPONENT.OLD_PARAMETER"),
    ],
)
def test_a_line_that_cannot_be_right_is_a_status(discover, renamed, parameters, reason):
    """With its reason; it is not used, and the rest of the plugin is."""
    registry = discover({**renamed, "losses.soft_gini": "gini"}, parameters)
    faults = [entry for entry in registry.problems() if entry.kind.startswith("dlplug.renamed")]
    assert faults and all(e.status is Status.FAILED for e in faults)
    assert faults[0].reason.startswith(reason) and "acme-losses" in faults[0].fix
    assert registry.find("losses", "soft_gini").name == "gini"
    assert registry.find("losses", "focus").name == "focus"
    assert registry.plugins()[1].status is Status.FAILED
    with pytest.raises(UnknownComponentError):
        registry.find("losses", "a")
    with pytest.raises(PluginError, match="strict mode"):
        Registry.discover(strict=True)


def test_two_new_names_for_one_are_a_status(fake_distribution):
    """Which of them is meant cannot be known."""
    lines = {"dlplug.losses": LOSSES.items()}
    lines["dlplug.renamed"] = [("losses.a", "gini"), ("losses.a", "focus")]
    fake_distribution("acme-losses", entry_points=lines)
    registry = Registry.discover()
    reasons = {entry.reason for entry in registry.problems()}
    assert reasons == {"'losses.a' has several new names: focus, gini"}


def test_an_old_name_that_others_use_is_a_conflict(discover, fake_distribution):
    """As two components of a name are; the id decides."""
    fake_distribution("rival", entry_points={"dlplug.losses": {"soft_gini": "rival:Gini"}})
    registry = discover({"losses.soft_gini": "gini", "losses.mse": "gini"})
    with pytest.raises(ComponentConflictError) as error:
        registry.find("losses", "soft_gini")
    assert "acme-losses:gini" in error.value.known and "rival:soft_gini" in error.value.known
    assert registry.find("losses", "acme-losses:soft_gini").id == "acme-losses:gini"
    assert registry.find("losses", "rival:soft_gini").id == "rival:soft_gini"
    with pytest.raises(ComponentConflictError):
        registry.find("losses", "mse")  # a built-in name is not taken over


def test_old_names_block_and_allow(discover, monkeypatch):
    """Whoever blocks a name means what is now called otherwise as well."""
    discover({"losses.soft_gini": "gini"})
    for name in ("soft_gini", "acme-losses:soft_gini"):
        registry = Registry.discover(block=[name])
        with pytest.raises(PluginError, match="blocked by --block"):
            registry.find("losses", "gini")
        assert registry.find("losses", "focus")
    monkeypatch.setenv("DLPLUG_ALLOW", "soft_gini")
    registry = Registry.discover()
    assert registry.find("losses", "gini").name == "gini"
    with pytest.raises(PluginError, match="not named by DLPLUG_ALLOW"):
        registry.find("losses", "focus")


def test_an_old_name_of_a_blocked_plugin_says_so(discover):
    """Instead of that there is no such name."""
    discover({"losses.soft_gini": "gini"})
    with pytest.raises(PluginError, match="blocked by --block"):
        Registry.discover(block=["acme-losses"]).find("losses", "soft_gini")


def test_names_of_hooks_can_be_renamed(fake_distribution):
    """Whether they exist is known when the hook has been asked."""
    source = """
        import dlplug

        class Net: pass

        @dlplug.hookimpl
        def dlplug_components(kind):
            return {"net.b": Net} if kind == "architectures" else None
    """
    lines = {"dlplug": {"hooks": "acme_hooks"}, "dlplug.renamed": {"architectures.net.a": "net.b"}}
    fake_distribution("acme-hooks", entry_points=lines, modules={"acme_hooks": source})
    registry = Registry.discover()
    assert not registry.problems()
    registry.load_hooks()
    assert registry.find("architecture", "net.a").name == "net.b"


def test_built_in_names_can_be_renamed(monkeypatch):
    """By the tables beside the components, whose lines are all right."""
    assert not [e for e in Registry.discover(distributions=[]).problems()]
    monkeypatch.setitem(table.RENAMED, "losses.crossentropy", "cross_entropy")
    monkeypatch.setitem(table.RENAMED_PARAMETERS, "losses.cross_entropy.smooth", "label_smoothing")
    registry = Registry.discover(distributions=[])
    assert registry.find("losses", "dlplug:crossentropy").name == "cross_entropy"
    renamed = registry.renames.parameters("losses", "dlplug:cross_entropy")
    assert renamed == {"smooth": "label_smoothing"}


def test_setuptools_takes_such_lines(tmp_path):
    """What it reads from a pyproject, it validates and writes as we read it."""
    from setuptools import _entry_points

    from dlplug.plugin.targets import parse_entry_points

    groups = {
        "dlplug.renamed": ["losses.soft_gini = gini", "architectures.net.a = net.b"],
        "dlplug.renamed_parameters": ["losses.gini.eps = smooth"],
    }
    lines = parse_entry_points(_entry_points.render(_entry_points.load(groups)))
    assert [(line.group, line.name, line.target, line.problem) for line in lines] == [
        ("dlplug.renamed", "architectures.net.a", "net.b", None),
        ("dlplug.renamed", "losses.soft_gini", "gini", None),
        ("dlplug.renamed_parameters", "losses.gini.eps", "smooth", None),
    ]
