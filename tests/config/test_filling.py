"""What the data decides."""

from dataclasses import replace
from types import SimpleNamespace

import pytest

from dlplug.config.filling import (
    DataFacts,
    compare,
    completed_by,
    decided_by_data,
    field_near,
    fill,
)
from dlplug.config.parameters import NO_DEFAULT, Parameter
from dlplug.config.refusal import Culprit
from dlplug.config.tree import COMMAND_LINE, Node, from_plain
from dlplug.config.trust import Trust
from dlplug.data.spec import DataSpec
from dlplug.errors import InvalidValueError
from dlplug.plugin import Registry

FACTS = DataFacts(DataSpec(image_size=8, num_classes=10, cat_cardinalities=(2, 3)), "data digits")
TALL = DataFacts(DataSpec(image_size=(4, 6)), "data tall")


LOSS = SimpleNamespace(kind="losses", key="loss", label="loss 'a'", where="a.yaml, line 3, loss")


def parameter(name, hint=NO_DEFAULT):
    return Parameter(name, hint, NO_DEFAULT, "")


def filled(name, hint, facts=FACTS):
    trust = Trust(Registry.discover())
    value = fill(parameter(name, hint), facts, LOSS, trust)
    return value and value.make()


@pytest.mark.parametrize(
    ("name", "hint", "facts", "value"),
    [
        ("image_size", int, FACTS, 8),
        ("img_size", tuple[int, int], FACTS, (8, 8)),
        ("image_size", int | tuple[int, int], FACTS, 8),
        ("image_size", NO_DEFAULT, FACTS, 8),
        ("image_size", tuple[int, int], TALL, (4, 6)),
        ("image_size", NO_DEFAULT, TALL, [4, 6]),
        ("d_out", int, FACTS, 10),
        ("cat_cardinalities", list[int] | None, FACTS, [2, 3]),
        ("in_channels", int, FACTS, None),
        ("num_classes", int, DataFacts(None, "the data"), None),
    ],
)
def test_a_fact_takes_the_form_that_the_parameter_wants(name, hint, facts, value):
    """A square's size is a number or a pair; what the data does not know stays open."""
    assert filled(name, hint, facts) == value


class Halving:
    """A task that decides a width from the data and an argument of its own."""

    @staticmethod
    def complete(spec, parts=2):
        if spec.num_features is None:
            raise InvalidValueError("halving needs features")
        return replace(spec, num_outputs=spec.num_features // parts, is_causal=True)


def task(target, **arguments):
    culprit = Culprit("task 'halving'", "acme 1", "a.yaml, line 1, task", "fix it")
    names = ["other", "parts"]
    return SimpleNamespace(
        target=target, name="halving", order=names, culprit=culprit, argument=arguments.get
    )


def test_a_task_completes_what_the_data_knows():
    """`complete` gets the arguments that it names; each fact has its own source."""
    facts = DataFacts(DataSpec(num_features=12, num_classes=3), "data digits")
    done = completed_by(task(Halving, parts=4, other=1), facts)
    assert done.value_for("num_outputs") == 3 and done.value_for("is_causal") is True
    assert done.source_for("is_causal") == "task halving"
    assert done.source_for("num_features") == done.source_for("num_outputs") == "data digits"
    other = completed_by(task(Halving, parts=2), facts)
    assert other.value_for("num_outputs") == 6 and other.source_for("num_outputs") == "task halving"


def test_a_task_may_find_the_data_useless_or_say_nothing():
    """Its error stands as it is; without data, or without `complete`, nothing changes."""
    with pytest.raises(InvalidValueError, match="halving needs features"):
        completed_by(task(Halving, parts=2), FACTS)
    assert completed_by(task(object), FACTS) is FACTS
    nothing = DataFacts(None, "the data")
    assert completed_by(task(Halving, parts=2), nothing) is nothing


def test_a_fact_that_does_not_fit_the_type_is_an_error():
    """Data that is not square cannot go into one number."""
    with pytest.raises(InvalidValueError) as caught:
        filled("image_size", int, TALL)
    assert caught.value.what == ("loss 'a' takes image_size as int, and data tall has [4, 6]")
    assert caught.value.where == "a.yaml, line 3, loss.image_size"
    assert caught.value.fix == "choose another loss, one that takes such data"


def test_the_exact_name_wins_over_its_synonyms():
    """``channels`` beside ``in_channels`` means something else."""
    found = decided_by_data([parameter("channels"), parameter("in_channels"), parameter("depth")])
    assert [(p.name, field) for p, field in found] == [("in_channels", "in_channels")]
    found = decided_by_data([parameter("channels"), parameter("d_out")])
    assert [field for _, field in found] == ["in_channels", "num_classes"]


@pytest.mark.parametrize("value", [8, [8, 8]])
def test_a_value_that_says_the_same_passes(value):
    """In either form."""
    node = from_plain(value, COMMAND_LINE)
    compare(parameter("image_size"), FACTS, node, "architecture.image_size")


def test_a_contradiction_names_both_sides():
    """Before training: what the config says, what the data says."""
    with pytest.raises(InvalidValueError) as caught:
        compare(parameter("num_classes"), FACTS, Node(7, COMMAND_LINE), "architecture.num_classes")
    assert str(caught.value) == (
        "the config sets architecture.num_classes: 7, data digits has num_classes: 10\n"
        "  where: command line, architecture.num_classes\n"
        "  fix:   delete architecture.num_classes or set it to null: the data decides it"
    )


@pytest.mark.parametrize(
    ("name", "field"),
    [
        ("channels_in", "in_channels"),
        ("input_channels", "in_channels"),
        ("n_classes", "num_classes"),
        ("num_clases", "num_classes"),
        ("features_in", "num_features"),
        ("in_channels", None),
        ("img_size", None),
        ("width", None),
        ("num_layers", None),
        ("hidden_channels", None),
        ("kernel_size", None),
    ],
)
def test_a_name_that_nearly_is_a_field_is_recognised(name, field):
    """One that is a field, or means something else, is not."""
    assert field_near(name) == field
