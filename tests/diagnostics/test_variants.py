"""Variants of a config: what is taken away, and what cannot be."""

import pytest

from dlplug.diagnostics.variants import BASE, Variant, change, distinct, regularisers, removal
from dlplug.errors import InvalidValueError

GIVEN = {
    "architecture": {"name": "mlp", "dropout": 0.2},
    "optimizer": "adamw",
    "scheduler": "warmup_cosine",
    "callbacks": [{"name": "ema", "decay": 0.9}, "lr_monitor"],
    "data": {"name": "digits", "transforms": [{"name": "random_shift"}]},
}
RESOLVED = {
    "architecture": {"name": "dlplug:mlp", "dropout": 0.2, "hidden": [16]},
    "optimizer": {"name": "dlplug:adamw", "lr": 0.01, "weight_decay": 0.01},
    "scheduler": {"name": "dlplug:warmup_cosine"},
    "loss": {"name": "dlplug:cross_entropy", "label_smoothing": 0.0},
    "callbacks": [{"name": "dlplug:ema"}, {"name": "dlplug:lr_monitor"}],
    "data": {"name": "dlplug:digits", "transforms": [{"name": "dlplug:random_shift"}]},
    "trainer": {"gradient_clip_val": 1.0},
}


@pytest.mark.parametrize(
    ("key", "name", "overrides"),
    [
        ("callbacks.ema", "no-ema", [("callbacks", ["lr_monitor"])]),
        ("data.transforms.random_shift", "no-random_shift", [("data.transforms", [])]),
        ("data.transforms", "no-transforms", [("data.transforms", [])]),
        ("scheduler", "no-scheduler", [("scheduler", None)]),
        ("optimizer.weight_decay", "no-weight_decay", [("optimizer.weight_decay", 0.0)]),
        (
            "trainer.gradient_clip_val",
            "no-gradient_clip_val",
            [("trainer.gradient_clip_val", None)],
        ),
    ],
)
def test_a_thing_is_taken_away(key, name, overrides):
    """Elements leave their list, arguments get the value that means nothing, also defaults."""
    assert removal(key, GIVEN, RESOLVED) == Variant(name, tuple(overrides))


@pytest.mark.parametrize(
    ("key", "message"),
    [
        ("callbacks.emma", "no callbacks.emma to remove"),
        ("optimizer.momentum", "no optimizer.momentum to remove"),
        ("optimizer.lr", "not known which value of optimizer.lr means"),
        ("optimizer", "no training without optimizer"),
        ("nonsense", "no nonsense to remove"),
    ],
)
def test_what_cannot_be_taken_away(key, message):
    """Not there, or nobody knows what its absence is."""
    with pytest.raises(InvalidValueError, match=message):
        removal(key, GIVEN, RESOLVED)


def test_the_nearest_name_is_suggested():
    """Of the list's elements."""
    with pytest.raises(InvalidValueError) as error:
        removal("callbacks.emma", GIVEN, RESOLVED)
    assert error.value.known == "callbacks.ema, callbacks.lr_monitor"
    assert error.value.fix == "did you mean 'callbacks.ema'?"


def test_a_value_is_changed():
    """The folder's name has no odd characters."""
    assert change("architecture.dropout=0.3") == Variant(
        "dropout-0.3", (("architecture.dropout", "0.3"),)
    )
    assert change("architecture.hidden=[8, 8]").name == "hidden-8-8"
    with pytest.raises(InvalidValueError, match="--set dropout is no KEY=VALUE"):
        change("dropout")


def test_the_regularisers_are_found():
    """What is in effect, defaults included; not what is 0 or only watches."""
    assert regularisers(GIVEN, RESOLVED) == [
        "architecture.dropout",
        "optimizer.weight_decay",
        "trainer.gradient_clip_val",
        "data.transforms.random_shift",
        "callbacks.ema",
    ]


def test_names_are_distinct():
    """A number tells two of a name apart; the very same twice is an error."""
    first, second = Variant("no-x", (("a.x", 0),)), Variant("no-x", (("b.x", 0),))
    assert [v.name for v in distinct([BASE, first, second])] == ["base", "no-x", "no-x-2"]
    with pytest.raises(InvalidValueError, match="no-x is named twice"):
        distinct([first, first])
