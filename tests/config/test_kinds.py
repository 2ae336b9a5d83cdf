"""The traits of each kind."""

import inspect

from torch import nn

from dlplug.config.kinds import COMPONENT_WORDS, TRAITS, load_class
from dlplug.config.slots import SLOTS
from dlplug.plugin import KINDS


def test_every_kind_has_its_traits():
    """Except commands, which are functions of plugins."""
    assert set(TRAITS) == set(KINDS) - {"commands", "presets"}
    assert TRAITS["architectures"].base_class is nn.Module


def test_every_base_is_a_class():
    """Each stands where its string says, in the installed versions."""
    assert all(inspect.isclass(load_class(traits.base)) for traits in TRAITS.values())


def test_what_a_function_can_do_needs_no_base_class():
    """Losses and transforms are called; the rest is used by its class."""
    free = {kind for kind, traits in TRAITS.items() if not traits.must_descend}
    assert free == {"losses", "transforms", "optimizers", "schedulers"}


def test_a_kinds_words_mean_it():
    """Singular and plural."""
    assert COMPONENT_WORDS["loss"] == COMPONENT_WORDS["losses"] == "losses"
    assert COMPONENT_WORDS["data"] == "datamodules" and "command" not in COMPONENT_WORDS


def test_a_tasks_parts_are_slots():
    """All but the data spec."""
    assert set(TRAITS["tasks"].supplied) - {"data_spec"} <= set(SLOTS)
