"""Comparing and checking names."""

import pytest

from dlplug.plugin.names import (
    comparable,
    distribution_name,
    name_problem,
    normalised,
    one_line,
    split_id,
)


def test_names_compare_as_package_indexes_do():
    """Case and separators do not matter."""
    assert {
        normalised(n) for n in ("Acme_Vision", "acme-vision", "ACME.vision", "acme__vision")
    } == {"acme-vision"}


def test_an_id_has_two_parts():
    """Before the colon stands the distribution, normalised; a short name has none."""
    assert split_id("Acme_Vision:ResNet") == ("acme-vision", "ResNet")
    assert split_id("resnet") == (None, "resnet")


@pytest.mark.parametrize("name", ["resnet", "torch.RMSprop", "family/model-1", "ü"])
def test_usual_names_are_accepted(name):
    """Dots, slashes, dashes and letters of any language may stand in a name."""
    assert name_problem(name) is None


@pytest.mark.parametrize("name", ["a:b", "a b", "a,b", "a=b", "a[0]"])
def test_names_that_a_config_could_not_hold_are_refused(name):
    """A colon, comma, space, equals sign or bracket is named as the problem."""
    assert name_problem(name).startswith(f"the name {name!r} contains")


def test_a_name_with_a_control_character_is_refused():
    """It could steer the terminal in which it is listed."""
    assert name_problem("a\x1b[2J").startswith("the name 'a\\x1b[2J' contains")
    assert name_problem("a\x07") == "the name 'a\\x07' cannot be printed"


@pytest.mark.parametrize("name", ["my_model.py", "my_models/"])
def test_a_name_of_a_file_is_no_name_of_a_component(name):
    """Else --block would not know which of the two is meant."""
    assert name_problem(name) == f"the name {name!r} is that of a file"


def test_an_installed_distribution_is_never_called_like_a_file():
    """By the rule of package indexes; a name that somebody writes may be that of a file."""
    assert distribution_name("My_Model.py") == "my-model-py"
    assert normalised("my_model.py") == "my_model.py" and normalised("my_models/") == "my_models/"


def test_two_spellings_of_one_name_are_equal():
    """Of distributions, components and ids; a file has one spelling."""
    assert comparable("Acme_Net") == comparable("acme-net") != comparable("acme")
    assert comparable("Acme.net:Soft_Dice") == comparable("acme-net:soft-dice")
    assert comparable("my_model.py") != comparable("my-model.py")


def test_an_empty_name_is_refused():
    """A component needs a name."""
    assert name_problem("") == "a component needs a name"


def test_control_characters_do_not_reach_the_terminal():
    """Text of strangers is put on one line, without escape sequences."""
    assert one_line("red \x1b[31m\nand\tmore\r") == "red [31m and more"
