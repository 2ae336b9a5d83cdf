"""One argument against its type."""

import enum
import pathlib
import typing
from collections.abc import Callable

import pytest
import torch
from lightning.pytorch.profilers import Profiler
from torch import nn

from dlplug.config.composed import read_value
from dlplug.config.document import parse
from dlplug.config.parameters import NO_DEFAULT, Parameter
from dlplug.config.trust import Trust
from dlplug.config.values import NOT_PLAIN, check, check_default, plain_form
from dlplug.errors import InvalidValueError, UntrustedError
from dlplug.plugin import Registry


class Colour(enum.Enum):
    red = 1
    blue = 2


@pytest.fixture
def checked():
    trust = Trust(Registry.discover())

    def check_text(hint, text, default=NO_DEFAULT):
        node = parse(f"x: {text}", "a.yaml").value["x"]
        return check(Parameter("x", hint, default, ""), node, "loss.x", trust)

    return check_text


@pytest.mark.parametrize(
    ("hint", "text", "value", "plain"),
    [
        (int, "3", 3, 3),
        (float, "3", 3.0, 3.0),
        (float, "1e-3", 1e-3, 1e-3),
        (bool, "true", True, True),
        (int | None, "null", None, None),
        (tuple[float, float], "[0.9, 1]", (0.9, 1.0), [0.9, 1.0]),
        (Colour, "red", Colour.red, "red"),
        (pathlib.Path, "a/b", pathlib.Path("a/b"), "a/b"),
        (typing.Literal["mean", "sum"], "sum", "sum", "sum"),
        (dict[str, int], "{a: 1}", {"a": 1}, {"a": 1}),
        (typing.Any, "'3'", "3", "3"),
        (NO_DEFAULT, "[1, {a: x}]", [1, {"a": "x"}], [1, {"a": "x"}]),
        (typing.TypeVar("T"), "3", 3, 3),
    ],
)
def test_a_value_is_converted_to_its_type(checked, hint, text, value, plain):
    """The Python value, and the plain data that gives it again."""
    found = checked(hint, text)
    made = found.make()
    assert (made, type(made), found.plain) == (value, type(value), plain)


@pytest.mark.parametrize(
    ("hint", "text", "message"),
    [
        (
            int,
            "three",
            "loss.x must be int, got 'three'\n  where: a.yaml, line 1, loss.x\n  fix:   such as 3",
        ),
        (
            int,
            "true",
            "loss.x must be int, got True\n  where: a.yaml, line 1, loss.x\n  fix:   such as 3",
        ),
        (
            int,
            "3.5",
            "loss.x must be int, got 3.5\n  where: a.yaml, line 1, loss.x\n  fix:   such as 3",
        ),
        (
            int,
            "null",
            "loss.x must be int, got None\n  where: a.yaml, line 1, loss.x\n  fix:   such as 3",
        ),
        (
            bool,
            "1",
            "loss.x must be bool, got 1\n  where: a.yaml, line 1, loss.x\n  fix:   such as true",
        ),
        (
            str,
            "3",
            "loss.x must be str, got 3\n  where: a.yaml, line 1, loss.x\n  fix:   quote it: '3'",
        ),
        (
            typing.Literal["mean", "sum", "none"],
            "meen",
            "loss.x cannot be 'meen'\n"
            "  where: a.yaml, line 1, loss.x\n"
            "  known: mean, sum, none\n"
            "  fix:   did you mean 'mean'?",
        ),
        (
            tuple[int, int],
            "[1, 2, 3]",
            "loss.x must be tuple[int, int], got [1, 2, 3]\n  where: a.yaml, line 1, loss.x"
            "\n  fix:   such as [3, 3]",
        ),
        (
            float | torch.Tensor,
            "fast",
            "loss.x must be float | Tensor, got 'fast'\n  where: a.yaml, line 1, loss.x"
            "\n  fix:   such as 0.1",
        ),
    ],
)
def test_a_value_of_another_type_is_refused(checked, hint, text, message):
    """Key, value, type, file and line; no name of a Python class beyond the type's own."""
    with pytest.raises(InvalidValueError) as caught:
        checked(hint, text)
    assert str(caught.value) == message


def test_a_number_on_the_command_line_can_be_a_string():
    """A shell cannot easily quote it, so the type decides."""
    found = check(
        Parameter("x", str, NO_DEFAULT, ""), read_value("3", "x"), "x", Trust(Registry.discover())
    )
    assert found.plain == "3"


def test_a_class_is_built_where_the_type_asks_for_one(checked):
    """LightningCLI's class_path with init_args, anew by each call; defaults are spelt out."""
    found = checked(
        nn.Module, "{class_path: torch.nn.Linear, init_args: {in_features: 2, out_features: 3}}"
    )
    first, second = found.make(), found.make()
    assert isinstance(first, nn.Linear) and first is not second and first.out_features == 3
    assert found.plain["init_args"]["bias"] is True
    assert checked(Callable, "torch.nn.functional.relu").make() is nn.functional.relu
    assert checked(type[nn.Module], "torch.nn.ReLU").make() is nn.ReLU


def test_a_class_of_another_kind_is_refused(checked):
    """A trusted module is not enough: the type decides which class fits."""
    with pytest.raises(InvalidValueError) as caught:
        checked(torch.optim.Optimizer, "{class_path: torch.nn.ReLU}")
    assert caught.value.what.startswith("loss.x cannot be {'class_path': 'torch.nn.ReLU'}: ")
    assert caught.value.where == "a.yaml, line 1, loss.x"


@pytest.mark.parametrize(
    ("hint", "text"),
    [
        (nn.Module, "{class_path: os.system, init_args: {command: ls}}"),
        (nn.Module, "{class_path: torch.hub.load}"),
        (nn.Module, "{class_path: torch.nn.Sequential, init_args: {x: {class_path: os.system}}}"),
        (nn.Module, "{class_path: torch.nn.Sequential, init_args: {x: [os.system]}}"),
        (Callable, "os.system"),
        (Callable, "torch.hub.load"),
        (Callable | None, "[subprocess.run]"),
        (type, "subprocess.Popen"),
        # strings that jsonargparse would read as YAML
        (nn.Module, "'{class_path: os.system}'"),
        (nn.Module, "'class_path: os.system'"),
        (list[Callable], "'[os.system]'"),
        (list[Callable], "'- os.system'"),
        (dict[str, nn.Module], "'{a: {class_path: os.system}}'"),
        (nn.Module, """ '{"class\\x5fpath": os.system}' """),
        (nn.Module, "{class_path: torch.nn.Sequential, init_args: {x: '{class_path: os.system}'}}"),
        (
            list[typing.Any],
            "[{class_path: torch.distributed.elastic.multiprocessing.subprocess_handler"
            ".SubprocessHandler}]",
        ),
    ],
)
def test_a_nested_path_cannot_import_what_is_not_trusted(checked, hint, text):
    """At any depth of an argument, in mappings, lists and strings."""
    with pytest.raises(UntrustedError):
        checked(hint, text)


def test_a_string_that_cannot_be_understood_is_refused(checked):
    """Another reader of YAML might see a class path in it."""
    with pytest.raises(InvalidValueError, match="cannot tell what"):
        checked(nn.Module, "'{class_path: torch.nn.ReLU, class_path: os.system}'")


def test_a_word_stays_a_word_where_words_are_taken(checked):
    """``str | Strategy`` takes a name; a class is written with class_path."""
    found = checked(str | nn.Module, "torch.nn.ReLU")
    assert found.make() == found.plain == "torch.nn.ReLU"
    assert isinstance(checked(str | nn.Module, "{class_path: torch.nn.ReLU}").make(), nn.ReLU)


def test_an_untyped_parameter_takes_plain_values_only(checked):
    """Nothing says which class would fit, so none is built."""
    with pytest.raises(InvalidValueError) as caught:
        checked(typing.Any, "{class_path: torch.nn.ReLU}")
    assert caught.value.fix == "only a parameter whose type is a class takes a class_path"


def test_defaults_are_written_as_their_type_reads_them():
    """0 for a float is 0.0; what YAML cannot hold is left out."""
    assert check_default(Parameter("x", float, 0, "")).plain == 0.0
    assert check_default(Parameter("x", int, "odd", "")).plain == "odd"
    assert check_default(Parameter("x", Callable, nn.functional.relu, "")).plain is NOT_PLAIN


def test_plain_forms():
    """Tuples and sets become lists, enums their names; objects have none."""
    assert plain_form((1, {2}, {"a": Colour.red})) == [1, [2], {"a": "red"}]
    assert plain_form([object()]) is plain_form({(1, 2): 3}) is NOT_PLAIN


def test_a_plain_argument_of_a_nested_class_is_no_import_path(checked):
    """``profile`` and ``code`` are modules; a file's name may still begin like that."""
    text = (
        "{class_path: lightning.pytorch.profilers.SimpleProfiler,"
        " init_args: {filename: profile.txt, dirpath: code.d}}"
    )
    assert checked(Profiler | str | None, text).make().filename == "profile.txt"


def test_an_untyped_argument_of_a_nested_class_is_still_looked_into(checked):
    """Only a type that holds plain data makes a string harmless."""
    text = "{class_path: torch.nn.Sequential, init_args: {args: [profile.run]}}"
    with pytest.raises(UntrustedError):
        checked(nn.Module, text)
