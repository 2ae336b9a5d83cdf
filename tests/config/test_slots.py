"""The table of top-level keys."""

import pytest

from dlplug.config import slots
from dlplug.config.slots import DEFAULT_MAX_EPOCHS, OTHER_WORDS, SLOTS, component_kind
from dlplug.plugin import KINDS


def documented_default(slot):
    special = {
        "name": "config's file name",
        "trainer": f"max_epochs: {DEFAULT_MAX_EPOCHS}",
        "accelerate": "false",
        "plugins": "all",
    }
    if isinstance(slot.default, list):
        return ", ".join(slot.default) or "none"
    return special.get(slot.name) or ("none" if slot.default is None else str(slot.default))


def test_the_documented_table_is_the_table():
    """Every slot stands in the docstring with its default."""
    table = slots.__doc__.split("=\n")[2]
    rows = [line for line in table.splitlines() if line.split()[0] in SLOTS]
    found = {row.split()[0]: row.split("  ")[-1].strip() for row in rows}
    assert found == {name: documented_default(slot) for name, slot in SLOTS.items()}


def test_slots_and_kinds_fit():
    """Each kind that a config can choose has its slot; hints lead to slots."""
    kinds = {slot.kind for slot in SLOTS.values() if slot.kind}
    assert kinds == set(KINDS) - {"commands", "transforms", "presets"}
    assert set(OTHER_WORDS.values()) <= set(SLOTS) and not set(OTHER_WORDS) & set(SLOTS)


@pytest.mark.parametrize(
    ("key", "kind"),
    [
        ("architecture", "architectures"),
        ("data", "datamodules"),
        ("callbacks.0", "callbacks"),
        ("data.transforms.1", "transforms"),
        ("loss.losses.0.loss", "losses"),
        ("architecture.depth", None),
        ("trainer.callbacks", None),
        ("data.command", None),
        ("name", None),
    ],
)
def test_the_last_word_of_a_key_tells_the_kind(key, kind):
    """At the top level and inside components, but not in the trainer."""
    assert component_kind(key) == kind
