"""Several providers of one name."""

import pytest

from dlplug.errors import ComponentConflictError, PluginError
from dlplug.plugin import Registry, Status


@pytest.fixture
def install(fake_distribution):
    """Install a distribution that offers the loss ``acme_dice`` (or another) of its own."""

    def install_one(name, version="1.0", loss="acme_dice", **arguments):
        module = name.replace("-", "_")
        fake_distribution(
            name,
            version,
            entry_points={"dlplug.losses": {loss: f"{module}:Loss"}},
            modules={module: "class Loss: pass"},
            **arguments,
        )

    return install_one


def statuses(registry, name):
    return {c.id: c.status for c in registry.components("loss") if c.name == name}


@pytest.mark.parametrize("order", [("acme-a", "acme-b"), ("acme-b", "acme-a")])
def test_two_providers_are_an_error_that_names_both(install, order):
    """Both with versions, and both ways out; the same text in whatever order they are found."""
    for name in order:
        install(name, "2.3" if name == "acme-b" else "1.0", folder=name)
    registry = Registry.discover()
    with pytest.raises(ComponentConflictError) as caught:
        registry.find("loss", "acme_dice", where="config.yaml, line 7")
    assert str(caught.value) == (
        "loss 'acme_dice': provided by acme-a 1.0 and acme-b 2.3\n"
        "  where: config.yaml, line 7\n"
        "  known: acme-a:acme_dice = acme_a:Loss (acme-a 1.0); "
        "acme-b:acme_dice = acme_b:Loss (acme-b 2.3)\n"
        "  fix:   write the full id, 'acme-a:acme_dice' or 'acme-b:acme_dice'; "
        "or block one: --block acme-b:acme_dice (or DLPLUG_BLOCK, or plugins.block in the config)"
    )
    assert set(statuses(registry, "acme_dice").values()) == {Status.CONFLICT}


def test_the_full_id_works(install):
    """Neither provider is lost: each is found by its id, in any spelling of the distribution."""
    install("acme-a")
    install("acme-b")
    registry = Registry.discover()
    assert registry.find("loss", "acme-a:acme_dice").load().__module__ == "acme_a"
    assert registry.find("loss", "Acme_B:acme_dice").load().__module__ == "acme_b"
    assert {"acme-a:acme_dice", "acme-b:acme_dice"} <= set(registry.names("loss"))
    assert "acme_dice" not in registry.names("loss")
    assert set(statuses(registry, "acme_dice").values()) == {Status.CONFLICT}


def test_blocking_one_works(install):
    """With one provider blocked, the short name means the other."""
    install("acme-a")
    install("acme-b")
    registry = Registry.discover(block=["acme-b:acme_dice"])
    assert registry.find("loss", "acme_dice").id == "acme-a:acme_dice"
    later = Registry.discover()
    assert later.names("loss").count("acme_dice") == 0
    later.restrict(block=["acme-a"])
    assert later.find("loss", "acme_dice").id == "acme-b:acme_dice"


def test_a_core_name_is_not_overwritten(install):
    """A plugin that takes a built-in name makes the short name ambiguous; both ids work."""
    install("acme-a", loss="focal")
    registry = Registry.discover()
    with pytest.raises(ComponentConflictError) as caught:
        registry.find("loss", "focal")
    assert caught.value.what.startswith("loss 'focal': provided by dlplug ")
    assert caught.value.what.endswith(" and acme-a 1.0")
    assert "block one: --block acme-a:focal" in caught.value.fix
    assert registry.find("loss", "dlplug:focal").target == "dlplug.losses.focal:FocalLoss"
    assert registry.find("loss", "acme-a:focal").load().__module__ == "acme_a"
    assert Registry.discover(block=["dlplug:focal"]).find("loss", "focal").distribution == "acme-a"


def test_the_same_name_for_another_kind_is_no_conflict(fake_distribution):
    """Names belong to a kind."""
    fake_distribution("acme", entry_points={"dlplug.callbacks": {"focal": "acme_m:F"}})
    registry = Registry.discover()
    assert registry.find("loss", "focal").distribution == "dlplug"
    assert registry.find("callback", "focal").distribution == "acme"


def test_one_distribution_with_one_name_twice(fake_distribution):
    """The id is ambiguous as well: the error names both targets and the distribution at fault."""
    lines = {"dlplug.losses": [("acme_dice", "acme_m:B"), ("acme_dice", "acme_m:A")]}
    fake_distribution("acme", entry_points=lines)
    for name in ("acme_dice", "acme:acme_dice"):
        with pytest.raises(ComponentConflictError) as caught:
            Registry.discover().find("loss", name)
        assert caught.value.what == (
            f"loss '{name}': acme 1.0 declares it twice, as acme_m:A and acme_m:B"
        )
        assert caught.value.fix.startswith("update acme or tell its authors; or block it: --block")
    assert "acme:acme_dice" not in Registry.discover().names("loss")


def test_a_plugin_that_cannot_be_used_takes_no_name_away(fake_distribution, install):
    """An incompatible or malformed provider leaves the short name to the sound one."""
    install("acme-a")
    fake_distribution(
        "acme-b",
        entry_points={"dlplug.api": {"major": "v9"}, "dlplug.losses": {"acme_dice": "acme_m:Dice"}},
    )
    fake_distribution("acme-c", entry_points={"dlplug.losses": {"acme_dice": "???"}})
    registry = Registry.discover()
    assert registry.find("loss", "acme_dice").distribution == "acme-a"
    assert statuses(registry, "acme_dice") == {
        "acme-a:acme_dice": Status.AVAILABLE,
        "acme-b:acme_dice": Status.INCOMPATIBLE,
        "acme-c:acme_dice": Status.FAILED,
    }
    with pytest.raises(PluginError, match="cannot be used \\(incompatible\\)"):
        registry.find("loss", "acme-b:acme_dice")


def test_a_plugin_that_lacks_an_extra_keeps_its_claim(fake_distribution, install):
    """Installing the extra must not change what a name means, so the name is ambiguous before."""
    install("acme-a")
    fake_distribution(
        "acme-b",
        entry_points={"dlplug.losses": {"acme_dice": "acme_m:Dice [x]"}},
        requires=["no-such-thing; extra == 'x'"],
        extras=["x"],
    )
    with pytest.raises(ComponentConflictError):
        Registry.discover().find("loss", "acme_dice")
