"""The spellings of a component."""

import pytest

from dlplug.config.choice import read_choice, same_name
from dlplug.config.document import parse
from dlplug.errors import InvalidValueError


def choice(text):
    return read_choice(parse(f"loss: {text}", "a.yaml").value["loss"], "loss")


@pytest.mark.parametrize(
    ("text", "word", "name", "arguments"),
    [
        ("focal", "name", "focal", {}),
        ("{name: focal, gamma: 2}", "name", "focal", {"gamma": 2}),
        ("{name: focal, init_args: {gamma: 2}}", "name", "focal", {"gamma": 2}),
        ("{name: focal, a: 1, init_args: {name: x}}", "name", "focal", {"a": 1, "name": "x"}),
        ("{class_path: a.B, init_args: {c: 1}}", "class_path", "a.B", {"c": 1}),
        ("{gamma: 2}", None, None, {"gamma": 2}),
    ],
)
def test_every_spelling_means_the_same(text, word, name, arguments):
    """A word, a mapping, and LightningCLI's class_path with init_args."""
    found = choice(text)
    assert (found.word, found.text) == (word, name)
    assert {key: node.plain() for key, node in found.arguments.items()} == arguments


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "3",
            "loss must name a component, got 3\n"
            "  where: a.yaml, line 1, loss\n"
            "  fix:   write 'loss: NAME' or 'loss: {name: NAME, argument: value}'",
        ),
        (
            "{name: a, class_path: b.C}",
            "loss has both a name and a class_path\n"
            "  where: a.yaml, line 1, loss\n"
            "  fix:   keep one of the two",
        ),
        (
            "{name: [a]}",
            "loss.name must be a word, got ['a']\n"
            "  where: a.yaml, line 1, loss.name\n"
            "  fix:   an argument called name stands under init_args",
        ),
        (
            "{name: a, b: 1, init_args: {b: 2}}",
            "argument 'b' stands twice, beside init_args and in it\n"
            "  where: a.yaml, line 1, loss.init_args.b\n"
            "  fix:   delete one of the two",
        ),
        (
            "{name: a, init_args: 3}",
            "loss.init_args must be a mapping of arguments, got 3\n"
            "  where: a.yaml, line 1, loss.init_args",
        ),
    ],
)
def test_a_contradiction_is_refused(text, message):
    """The error says what, where and how to write it."""
    with pytest.raises(InvalidValueError) as caught:
        choice(text)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("text", "joined"),
    [
        ("{name: a, init_args: {b: 1}}", {"name": "a", "b": 1}),
        ("{name: a, init_args: {name: x}}", {"name": "a", "init_args": {"name": "x"}}),
        (
            "{class_path: a.B, init_args: {c: 1}, dict_kwargs: {d: 2}}",
            {"class_path": "a.B", "init_args": {"c": 1}, "dict_kwargs": {"d": 2}},
        ),
    ],
)
def test_joined_gives_the_shortest_unambiguous_form(text, joined):
    """Arguments stand beside the name unless one of them is called name."""
    assert choice(text).joined().plain() == joined


def test_a_short_name_is_the_same_as_its_id():
    """Two full ids are compared whole."""
    assert same_name("acme:vit", "vit") and same_name("vit", "vit")
    assert not same_name("acme:vit", "other:vit") and not same_name("vit", "mlp")
