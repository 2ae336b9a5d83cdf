"""Parameters of classes and functions, read by jsonargparse."""

import collections.abc
import functools
import typing

import pytest
import torch
from torch import nn

from dlplug.config.parameters import component_parameters, parameters_of, takes_anything
from dlplug.errors import PluginError
from dlplug.tasks.classification import Classification


class Base:
    """Base.

    Args:
        width: How :class:`~torch.nn.Linear` wide, ``int``.
    """

    def __init__(self, width: int, ratio: float = 0.5):
        pass


class Child(Base):
    """Child.

    Args:
        depth: How deep.
    """

    def __init__(self, depth: int, *args, **kwargs):
        super().__init__(*args, **kwargs)


def by(parameters):
    return {parameter.name: parameter for parameter in parameters}


def test_keyword_arguments_are_followed_into_the_base_class():
    """jsonargparse reads where **kwargs goes; names, types, defaults and docs come along."""
    found = by(parameters_of(Child))
    assert list(found) == ["depth", "width", "ratio"]
    assert found["depth"].is_required and not found["ratio"].is_required
    assert (found["width"].hint, found["ratio"].default) == (int, 0.5)
    assert found["width"].doc == "How Linear wide, int."
    assert str(found["width"]) == "width: int"


def test_leading_and_named_parameters_are_left_out():
    """What the caller passes himself is no part of the config."""
    assert list(by(parameters_of(Child, skip=["width"], skip_first=1))) == ["ratio"]


def test_one_unreadable_hint_leaves_the_others():
    """A name that cannot be resolved makes its own parameter untyped, no other."""

    def function(a: "int" = 1, b: "Missing" = None):  # noqa: F821 - on purpose
        pass

    found = by(parameters_of(function))
    assert found["a"].hint is int
    assert str(found["b"]) == "b = None"


def test_a_default_of_none_allows_null():
    """``depth: int = None`` means an optional int."""

    def function(depth: int = None):  # noqa: RUF013 - on purpose
        pass

    assert str(parameters_of(function)[0]) == "depth: int | null"


@pytest.mark.parametrize(
    ("hint", "default", "kind"),
    [
        (None, None, "losses"),
        (nn.Module, None, "losses"),
        (list, None, "losses"),
        (list[nn.Module], None, "losses"),
        (collections.abc.Callable, None, "losses"),
        (typing.Any, None, "losses"),
        (str, "l2", None),
        (None, "l2", None),
        (list[str], (), None),
        (typing.Literal["l1", "l2"], "l1", None),
    ],
)
def test_a_parameter_named_like_a_kind_takes_components(hint, default, kind):
    """Unless its type or default says that it takes plain values."""

    def function(losses=default):
        pass

    if hint is not None:
        function.__annotations__["losses"] = hint
    assert parameters_of(function)[0].component_kind == kind


def test_a_parameter_of_another_name_takes_plain_values():
    """The word decides, not the type."""

    def function(head: nn.Module):
        pass

    assert parameters_of(function)[0].component_kind is None


def test_open_signatures_are_known():
    """``**kwargs`` may accept more than can be read, unless a base class takes them all."""

    class Hoarder(Base):
        def __init__(self, **kwargs):
            super().__init__(1)
            self.kept = kwargs

    assert takes_anything(Hoarder) and takes_anything(lambda **kwargs: kwargs)
    assert not takes_anything(Base) and not takes_anything(Child)


def test_a_partial_and_a_callable_object_have_parameters():
    """What is neither class nor function is read from its signature."""
    found = by(parameters_of(functools.partial(Base, 3, ratio=1.0)))
    assert list(found) == ["ratio"] and found["ratio"].default == 1.0


def test_what_has_no_signature_is_named():
    """Something that cannot be called cannot be configured."""
    with pytest.raises(PluginError, match="cannot read the parameters of 3: "):
        parameters_of(3)


def loss(output, target, scale=1.0):
    return scale


class Loss:
    def __init__(self, scale=1.0):
        pass


@pytest.mark.parametrize(
    ("kind", "target", "names"),
    [
        ("optimizers", torch.optim.SGD, ["lr", "momentum"]),
        ("losses", loss, ["scale"]),
        ("losses", Loss, ["scale"]),
        ("transforms", loss, ["target", "scale"]),
        ("architectures", Loss, ["scale"]),
        ("tasks", Classification, []),
    ],
)
def test_a_config_gives_what_the_caller_does_not(kind, target, names):
    """Parameters of an optimizer, outputs and targets of a loss, parts of a task are passed in."""
    found = [parameter.name for parameter in component_parameters(kind, target)]
    assert found[: len(names)] == names and (names or not found)
