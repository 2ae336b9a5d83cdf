"""The kinds of component and the entry-point groups."""

import pytest

from dlplug.errors import UnknownKeyError
from dlplug.plugin.spec import KINDS, group_problem, kind_of


def test_a_kind_is_known_by_both_words():
    """A kind is found by its plural and by its singular."""
    assert kind_of("losses") is kind_of("loss") is KINDS["losses"]
    assert kind_of("datamodules") is kind_of("data")


def test_an_unknown_kind_gets_a_suggestion():
    """A misspelt kind is an error that names the kinds and the nearest word."""
    with pytest.raises(UnknownKeyError) as caught:
        kind_of("lossses")
    assert caught.value.what == "no kind of component named 'lossses'"
    assert "architectures, losses" in caught.value.known
    assert caught.value.fix == "did you mean 'losses'?"


@pytest.mark.parametrize("group", ["dlplug", "dlplug.api", *(k.group for k in KINDS.values())])
def test_the_known_groups_are_accepted(group):
    """Every group of this version has no problem."""
    assert group_problem(group) is None


@pytest.mark.parametrize(
    ("group", "meant"),
    [
        ("dlplug.architecture", "dlplug.architectures"),
        ("dlplug.loss", "dlplug.losses"),
        ("dlplug.data", "dlplug.datamodules"),
        ("dlplug.calbacks", "dlplug.callbacks"),
    ],
)
def test_an_unknown_group_names_the_one_meant(group, meant):
    """A misspelt group, or one in the singular, is told with the group that was meant."""
    assert group_problem(group) == (
        f"this dlplug has no entry-point group '{group}'; did you mean '{meant}'?"
    )


def test_a_group_of_another_version_is_told_without_a_guess():
    """A group that is near to none is told as it is."""
    assert group_problem("dlplug.zzz") == "this dlplug has no entry-point group 'dlplug.zzz'"


def test_slots_are_those_of_a_config():
    """The slot of each kind is a key that takes this kind; the others have none."""
    from dlplug.config.slots import COMPONENT_SLOTS

    assert {kind.slot: kind.plural for kind in KINDS.values() if kind.slot} == {
        name: slot.kind for name, slot in COMPONENT_SLOTS.items()
    }
