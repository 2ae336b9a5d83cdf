"""Blocking and allowing plugins."""

import pytest

from dlplug.errors import PluginError
from dlplug.plugin import Registry, Status


@pytest.fixture(autouse=True)
def two_distributions(fake_distribution):
    """acme-a offers acme_dice and tversky, acme-b offers hinge and a module of hooks."""
    fake_distribution(
        "acme-a", entry_points={"dlplug.losses": {"acme_dice": "acme_a:D", "tversky_x": "acme_a:T"}}
    )
    fake_distribution(
        "acme-b", entry_points={"dlplug.losses": {"hinge": "acme_b:H"}, "dlplug": {"hb": "acme_hb"}}
    )


def disabled(registry):
    entries = [e for e in registry.entries() if e.distribution in ("acme-a", "acme-b", "dlplug")]
    return {entry.id: entry.reason for entry in entries if entry.status is Status.DISABLED}


@pytest.mark.parametrize("name", ["acme-a", "Acme_A"])
def test_a_distribution_is_blocked_by_name(name):
    """All that it offers is disabled, with the reason; any spelling of the name will do."""
    assert disabled(Registry.discover(block=[name])) == {
        "acme-a:acme_dice": "blocked by --block",
        "acme-a:tversky_x": "blocked by --block",
    }


@pytest.mark.parametrize("name", ["tversky_x", "Tversky-X", "acme-a:tversky_x", "ACME_a:tversky_x"])
def test_a_component_is_blocked_by_name_or_id(name):
    """Only that component is disabled."""
    assert set(disabled(Registry.discover(block=[name]))) == {"acme-a:tversky_x"}


def test_hooks_are_blocked_by_their_entry_point():
    """The name of a module of hooks blocks it."""
    assert set(disabled(Registry.discover(block=["hb"]))) == {"acme-b:hb"}


def test_only_what_is_allowed_is_used():
    """With an allow list everything else is disabled, except the built-in components."""
    blocked = disabled(Registry.discover(allow=["acme-b"]))
    assert blocked["acme-a:acme_dice"] == "not named by --allow"
    assert not [name for name in blocked if name.startswith(("acme-b", "dlplug"))]


def test_an_empty_allow_list_allows_no_plugin():
    """``allow=[]`` leaves the built-in components."""
    registry = Registry.discover(allow=[])
    assert {"acme-a:acme_dice", "acme-b:hinge"} <= set(disabled(registry))
    assert "cross_entropy" in registry.names("losses")


def test_built_in_components_can_be_blocked():
    """A name blocks the built-in component too, and only by that name."""
    assert set(disabled(Registry.discover(block=["dlplug:focal"]))) == {"dlplug:focal"}


def test_the_environment_blocks_and_allows(monkeypatch):
    """DLPLUG_BLOCK and DLPLUG_ALLOW hold names between commas; spaces do not matter."""
    monkeypatch.setenv("DLPLUG_BLOCK", " acme_dice , acme-b:hinge ,")
    monkeypatch.setenv("DLPLUG_ALLOW", "acme-a,hinge")
    assert disabled(Registry.discover()) == {
        "acme-a:acme_dice": "blocked by DLPLUG_BLOCK",
        "acme-b:hinge": "blocked by DLPLUG_BLOCK",
        "acme-b:hb": "not named by DLPLUG_ALLOW",
    }


def test_empty_variables_say_nothing(monkeypatch):
    """A variable that is set and empty is as good as unset."""
    monkeypatch.setenv("DLPLUG_BLOCK", "")
    monkeypatch.setenv("DLPLUG_ALLOW", "  ")
    assert disabled(Registry.discover()) == {}


def test_sources_narrow_each_other(monkeypatch):
    """A config cannot allow what the environment does not."""
    monkeypatch.setenv("DLPLUG_ALLOW", "acme-a")
    registry = Registry.discover()
    registry.restrict(allow=["acme-a:acme_dice", "acme-b"])
    assert disabled(registry) == {
        "acme-a:tversky_x": "not named by plugins.allow",
        "acme-b:hinge": "not named by DLPLUG_ALLOW",
        "acme-b:hb": "not named by DLPLUG_ALLOW",
    }


def test_a_disabled_component_tells_who_disabled_it():
    """Using it is an error with the reason, and the fix in the same place."""
    registry = Registry.discover(block=["acme-a"])
    assert "acme_dice" not in registry.names("losses")
    with pytest.raises(PluginError) as caught:
        registry.find("loss", "acme_dice", where="x.yaml, line 3")
    assert str(caught.value) == (
        "loss 'acme_dice' of acme-a 1.0 cannot be used (disabled): blocked by --block\n"
        "  where: x.yaml, line 3\n"
        "  fix:   take 'acme-a' out of --block"
    )
    with pytest.raises(PluginError, match="add 'acme-a' to --allow"):
        Registry.discover(allow=["acme-b"]).find("loss", "acme_dice")


def test_an_unknown_name_gets_a_suggestion(monkeypatch):
    """A name that blocks nothing is an error that says where it stands and what was meant."""
    with pytest.raises(PluginError) as caught:
        Registry.discover(block=["acme-aa"])
    assert caught.value.what == "no installed plugin or component is named 'acme-aa'"
    assert caught.value.where == "--block"
    assert "acme-a, acme-b, dlplug" in caught.value.known
    assert caught.value.fix == "did you mean 'acme-a'?"
    with pytest.raises(PluginError, match="did you mean 'acme-b:hinge'"):
        Registry.discover(allow=["acme-b:hing"])
    monkeypatch.setenv("DLPLUG_BLOCK", "something")
    with pytest.raises(PluginError, match="where: DLPLUG_BLOCK"):
        Registry.discover()


def test_rules_come_before_hooks_are_loaded():
    """What has been imported cannot be blocked any more, and that is not ignored."""
    registry = Registry.discover(block=["acme-b"])
    registry.restrict(block=["acme_dice"])
    registry.load_hooks()
    registry.restrict()
    registry.restrict(block=["acme_dice"])  # the same config once more
    with pytest.raises(PluginError, match=r"plugins\.block comes too late"):
        registry.restrict(block=["acme-a"])


HOOKS = """
from dlplug import hookimpl

@hookimpl
def dlplug_components(kind):
    return {"sgd": "torch.optim:SGD"} if kind == "optimizers" else None
"""


@pytest.fixture
def hooks(fake_distribution):
    """acme-hooks offers the optimizer sgd by a hook."""
    fake_distribution(
        "acme-hooks", entry_points={"dlplug": {"h": "acme_hk"}}, modules={"acme_hk": HOOKS}
    )


def test_a_name_that_a_hook_offers_is_blocked_by_id(hooks):
    """As the error about a shared name advises."""
    registry = Registry.discover(allow=["acme-hooks"])
    registry.load_hooks()
    with pytest.raises(PluginError, match="--block acme-hooks:sgd"):
        registry.find("optimizer", "sgd")
    registry = Registry.discover(block=["acme-hooks:sgd"], allow=["acme-hooks"])
    registry.load_hooks()
    assert registry.find("optimizer", "sgd").id == "dlplug:sgd"


def test_a_misspelt_name_of_a_hook_is_told_when_hooks_are_loaded(hooks):
    """Only then is it known which names there are."""
    registry = Registry.discover(block=["acme-hooks:sdg"], allow=["acme-hooks"])
    with pytest.raises(PluginError, match="named 'acme-hooks:sdg'") as caught:
        registry.load_hooks()
    assert caught.value.fix == "did you mean 'acme-hooks:sgd'?"


def test_allowing_a_name_of_a_hook_needs_its_hooks(hooks):
    """Else nobody would offer it; and no id without a name is suggested."""
    with pytest.raises(PluginError, match="named 'acme-hooks:sgd'") as caught:
        Registry.discover(allow=["acme-hooks:sgd"])
    assert not caught.value.fix.endswith(":'?")
    registry = Registry.discover(allow=["acme-hooks:sgd", "acme-hooks:h"])
    registry.load_hooks()
    assert "acme-hooks:sgd" in registry.names("optimizer")
