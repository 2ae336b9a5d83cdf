"""Keys of a config; more of it stands in the test of candidates."""

from dlplug.cli.config_keys import ConfigKeys, names_of
from dlplug.config.slots import SLOTS
from dlplug.plugin import Registry


def test_every_key_is_offered():
    """A list can be appended to; arguments begin with a dot."""
    flags = {flag for flag, _ in ConfigKeys([], Registry.discover()).keys("--")}
    assert {"--loss", "--loss.", "--callbacks+", "--trainer.", "--seed_everything"} <= flags
    assert {flag.strip("-.+") for flag in flags} == set(SLOTS) - {"plugins"}


def test_a_value_is_expected_behind_a_key_only():
    """None elsewhere."""
    keys = ConfigKeys([], Registry.discover())
    assert keys.values("fit", "") is None and keys.values("--json", "") is None
    assert keys.values("--loss=x", "") is None
    assert keys.values("--trainer.max_epochs", "") == []
    assert ("focal", "Focal loss for rare classes.") in keys.values("--loss", "")


def test_ids_are_offered_behind_a_colon():
    """Short names before it."""
    registry = Registry.discover()
    assert ":" not in "".join(name for name, _ in names_of(registry, "loss", "f"))
    assert "dlplug:focal" in dict(names_of(registry, "loss", "dlplug:"))


def test_a_name_is_offered_for_the_component_that_it_means(fake_distribution):
    """Another of that name is blocked."""
    fake_distribution("acme", entry_points={"dlplug.losses": {"focal": "acme:Focal"}})
    offered = dict(names_of(Registry.discover(block=["acme"]), "loss", "dlplug:"))
    assert offered["focal"] == "Focal loss for rare classes."
    assert "dlplug:focal" in offered and "acme:focal" not in offered
