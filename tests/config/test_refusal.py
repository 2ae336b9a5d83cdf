"""Components that refuse their arguments."""

import pickle
import re
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from dlplug.config.refusal import Culprit, refusals_named, require_initialised, try_optimizer
from dlplug.errors import ConfigError, DataError, InvalidValueError, PluginError

BASE = "data: squares\narchitecture: tower\n"
CULPRIT = Culprit("loss 'dice'", "acme 1.0", "a.yaml, line 3, loss", "list them", "tell them")


@pytest.mark.parametrize(
    ("raised", "error", "what"),
    [
        (ValueError("k < 0"), InvalidValueError, "refuses its arguments: ValueError: k < 0"),
        (AssertionError("k"), InvalidValueError, "refuses its arguments: AssertionError: k"),
        (FileNotFoundError("x.csv"), DataError, "cannot read what it needs: x.csv"),
        (ImportError("no scipy"), PluginError, "of acme 1.0 lacks a package: no scipy"),
    ],
)
def test_a_refusal_names_the_component_and_its_place(raised, error, what):
    """By what libraries raise for values, files and packages."""
    with pytest.raises(error) as caught, refusals_named(CULPRIT):
        raise raised
    assert caught.value.what == f"loss 'dice' {what}"
    assert caught.value.where == "a.yaml, line 3, loss" and caught.value.__cause__ is raised


def test_an_error_of_dlplug_gets_the_place_if_it_has_none():
    """Its own words stay."""
    for where, expected in ((None, "a.yaml, line 3, loss"), ("b", "b")):
        with pytest.raises(ConfigError) as caught, refusals_named(CULPRIT):
            raise ConfigError("wrong", where=where)
        assert (caught.value.what, caught.value.where) == ("wrong", expected)


@pytest.mark.parametrize("raised", [ZeroDivisionError("by 0"), KeyError("k"), RuntimeError("no")])
def test_a_fault_of_the_component_is_named(raised):
    """Whatever it raises, with all that the authors need to find it."""
    with pytest.raises(PluginError) as caught, refusals_named(CULPRIT):
        raise raised
    text = f"{type(raised).__name__}: {raised}"
    assert caught.value.what == f"loss 'dice' of acme 1.0 cannot be built: {text}"
    assert caught.value.where == "a.yaml, line 3, loss" and caught.value.__cause__ is raised
    assert caught.value.fix == (
        "list them; if they are right, tell them; --traceback shows all of it"
    )


def test_the_line_in_the_component_is_told():
    """That of its own code which failed, not of the library that it called."""
    here = replace(CULPRIT, home=str(Path(__file__).resolve()))
    with pytest.raises(InvalidValueError) as caught, refusals_named(here):
        nn.Linear("three", 2)
    assert re.search(
        r"refuses its arguments: TypeError: .* \(.*test_refusal.py, line \d+\)$", caught.value.what
    )


class Forgetful(nn.Module):
    """Calls no constructor of its base."""

    def __init__(self):
        self.layer = nn.Linear(2, 2)


def test_a_forgotten_constructor_of_the_base_is_told():
    """The slip that everybody makes once."""
    with pytest.raises(PluginError) as caught, refusals_named(CULPRIT):
        Forgetful()
    assert caught.value.fix.startswith("call super().__init__() first")


class Numbered(nn.Module):
    """Calls no constructor of its base either, and PyTorch does not notice."""

    def __init__(self):
        self.width = 3


def test_a_module_that_is_none_yet_is_told_where_it_is_built():
    """Else it fails wherever it is used; what is no module needs no such call."""
    with pytest.raises(PluginError, match=r"Numbered\.__init__ does not call its base's") as caught:
        require_initialised(Numbered(), CULPRIT)
    assert caught.value.fix == "call super().__init__() first in its __init__"
    assert caught.value.where == "a.yaml, line 3, loss"
    for made in (nn.Linear(2, 2), object(), None):
        require_initialised(made, CULPRIT)


def test_a_partial_survives_pickling(experiment):
    """Spawned processes get their tasks that way."""
    made = experiment(BASE + "optimizer: {class_path: torch.optim.SGD, init_args: {lr: -1}}\n")
    optimizer = pickle.loads(pickle.dumps(made.parts["optimizer"].build()))
    with pytest.raises(InvalidValueError, match="refuses its arguments"):
        optimizer([torch.nn.Parameter(torch.zeros(1))])


@pytest.mark.parametrize(
    "text",
    [
        "optimizer: {name: sgd, lr: -1}",
        "optimizer: {name: adam, betas: [2, 0]}",
        "scheduler: {name: step, gamma: 0}",
        "scheduler: {name: warmup_cosine, min_ratio: 2}",
    ],
)
def test_a_bad_value_shows_when_the_task_is_built(experiment, text):
    """Not at the first step, when the run folder exists."""
    with pytest.raises(InvalidValueError):
        experiment(BASE + text).build_task()


def test_an_architecture_without_parameters_is_not_tried():
    """There is nothing to optimise yet."""
    try_optimizer(nn.Flatten(), lambda parameters: pytest.fail("tried"))


def test_the_trial_leaves_the_weights_alone():
    """It only makes objects."""
    layer = nn.Linear(2, 2)
    before = layer.weight.clone()
    try_optimizer(layer, torch.optim.SGD, lambda optimizer, total_steps: None)
    assert torch.equal(layer.weight, before) and layer.weight.grad is None
