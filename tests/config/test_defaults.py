"""What stands in a slot that the config leaves open."""

import pytest

from dlplug.config import load
from dlplug.errors import UnknownKeyError
from dlplug.plugin import Registry
from tests.config.toys import BASE

LISTED = ["dlplug:f1", "dlplug:calibration_error"]
SOURCE = """
from lightning.pytorch import LightningModule


class Own(LightningModule):
    slot_defaults = {
        "loss": {"name": "focal", "gamma": 3.0},
        "optimizer": "sgd",
        "metrics": ["f1"],
    }

    def __init__(self, architecture, loss, optimizer, metrics):
        super().__init__()


class Listed(LightningModule):
    slot_defaults = {
        "metrics": ["f1", {"name": "calibration_error", "num_bins": 5}],
        "callbacks": ["early"],
    }

    def __init__(self, architecture, metrics):
        super().__init__()


class Bare(LightningModule):
    slot_defaults = {"loss": None}

    def __init__(self, architecture, loss):
        super().__init__()


def accuracy():
    pass
"""


@pytest.fixture
def own(experiment, fake_distribution):
    """Configs beside a plugin with tasks, and with components called like dlplug's defaults."""
    lines = {
        "dlplug.tasks": {
            "own": "acme_own:Own",
            "bare": "acme_own:Bare",
            "listed": "acme_own:Listed",
        },
        "dlplug.losses": {"cross_entropy": "acme_own:accuracy"},
        "dlplug.optimizers": {"adamw": "acme_own:accuracy"},
        "dlplug.metrics": {"accuracy": "acme_own:accuracy"},
    }
    fake_distribution("acme-own", "1", entry_points=lines, modules={"acme_own": SOURCE})
    return experiment


def test_arguments_without_a_name_belong_to_the_tasks_default(own):
    """They are laid over the arguments that the task sets itself."""
    text = BASE + "task: own\nloss: {alpha: [1, 2, 3]}\n"
    made = own(text, ("optimizer.lr", "0.1"))
    assert made.resolved["loss"]["name"] == "dlplug:focal"
    assert made.resolved["loss"]["gamma"] == 3.0 and made.resolved["loss"]["alpha"] == [1, 2, 3]
    assert made.resolved["optimizer"]["name"] == "dlplug:sgd"
    assert made.where("loss.alpha").endswith("line 4")


def test_what_is_appended_comes_after_the_tasks_default(own):
    """Not after dlplug's."""
    made = own(BASE + "task: own\n", ("metrics+", "{name: f1}"))
    assert [metric["name"] for metric in made.resolved["metrics"]] == ["dlplug:f1", "dlplug:f1"]
    assert made.given["metrics"][0] == "f1"


@pytest.mark.parametrize("address", ["calibration_error", "1"])
@pytest.mark.parametrize("has_file", [True, False])
def test_an_element_of_the_tasks_default_can_be_addressed(own, address, has_file):
    """By name or index, from a file or the command line, though the config gives no list."""
    text = BASE + "task: listed\n"
    overrides = [(f"metrics.{address}.num_bins", "7")]
    if has_file:
        text, overrides = f"{text}metrics: {{{address}: {{num_bins: 7}}}}\n", []
    made = own(text, *overrides)
    assert [metric["name"] for metric in made.resolved["metrics"]] == LISTED
    assert made.resolved["metrics"][1]["num_bins"] == 7
    assert made.given["metrics"] == ["f1", {"name": "calibration_error", "num_bins": 7}]


def test_defaults_and_what_is_appended_are_addressed_alike(own):
    """An index counts through the whole list; a name means the element that has it."""
    overrides = [
        ("metrics+", "dlplug:accuracy"),
        ("metrics.2.top_k", 2),
        ("metrics.calibration_error.num_bins", 7),
        ("callbacks+", "late"),
    ]
    for order in (overrides, overrides[::-1]):
        made = own(BASE + "task: listed\n", *order)
        assert made.given["metrics"][1:] == [
            {"name": "calibration_error", "num_bins": 7},
            {"name": "dlplug:accuracy", "top_k": 2},
        ]
        assert made.given["callbacks"] == ["early", "late"]


@pytest.mark.parametrize(
    ("key", "what", "known"),
    [
        ("metrics.accuracy.top_k", "metrics has no element 'accuracy'", "f1, calibration_error"),
        ("metrics.mae.x", "metrics has no element 'mae'", "f1, calibration_error"),
        ("metrics.2.x", "metrics has no element '2'", "f1, calibration_error"),
        ("callbacks.ema.decay", "callbacks has no element 'ema'", "early"),
        ("loggers.csv.name", "loggers has no element 'csv'", "the list is empty"),
    ],
)
def test_an_element_that_the_tasks_default_lacks_is_unknown(own, key, what, known):
    """The error says what is there, and how to add the element."""
    with pytest.raises(UnknownKeyError) as caught:
        own(BASE + "task: listed\n", (key, "2"))
    slot, name, _ = key.split(".")
    assert (caught.value.what, caught.value.known) == (what, known)
    assert caught.value.where == f"command line, {slot}.{name}"
    assert name.isdecimal() or caught.value.fix == f"add it: --{slot}+ {name}"


@pytest.mark.parametrize("key", ["metrics+", "metrics.accuracy", "metrics.f1"])
def test_a_slot_that_the_task_lacks_is_refused_where_it_was_written(own, key):
    """Not at the defaults to which something was added."""
    value = "f1" if key.endswith("+") else {"top_k": 2}
    with pytest.raises(UnknownKeyError, match="task 'bare' uses no metrics") as caught:
        own(BASE + "task: bare\n", (key, value))
    assert caught.value.where.endswith(", metrics") and "defaults" not in caught.value.where


def test_a_suggestion_comes_from_the_tasks_default(own):
    """Not from dlplug's."""
    with pytest.raises(UnknownKeyError) as caught:
        own(BASE + "task: listed\n", ("metrics.calibration_eror.num_bins", "2"))
    assert caught.value.fix == "did you mean 'calibration_error'?"


def test_an_element_that_dlplugs_default_lacks_is_unknown(own):
    """A task without defaults has dlplug's."""
    with pytest.raises(UnknownKeyError, match="metrics has no element 'mae'") as caught:
        own(BASE, ("metrics.mae.x", "1"))
    assert caught.value.known == "accuracy"


def test_a_plugin_with_the_name_of_a_default_changes_nothing(own):
    """Arguments without a name, and a list that is appended to, mean dlplug's component."""
    made = own(
        BASE + "loss: {label_smoothing: 0.1}\ntask: {}\n",
        ("optimizer.lr", "0.1"),
        ("metrics.accuracy.top_k", "2"),
        ("metrics+", "f1"),
    )
    assert made.resolved["loss"]["name"] == "dlplug:cross_entropy"
    assert made.resolved["optimizer"]["name"] == "dlplug:adamw"
    names = [metric["name"] for metric in made.resolved["metrics"]]
    assert names == ["dlplug:accuracy", "dlplug:f1"] and made.resolved["metrics"][0]["top_k"] == 2


def test_the_given_config_says_what_was_meant(own, tmp_path):
    """It can be loaded again, beside the same plugins."""
    made = own(BASE + "task: own\nloss: {alpha: [1, 2, 3]}\n", ("metrics+", "f1"))
    overrides = [(key, value) for key, value in made.given.items()]
    assert load([], overrides, Registry.discover()).given["loss"] == made.given["loss"]


def test_arguments_for_no_component_name_the_place(own):
    """A task without a default loss cannot use arguments alone."""
    with pytest.raises(Exception, match="loss has arguments but names no loss") as caught:
        own(BASE + "task: bare\nloss: {gamma: 1}\n")
    assert caught.value.where.endswith("line 4, loss")


def test_a_wrong_argument_of_a_default_has_its_line(own):
    """The name was not written, but its arguments were."""
    with pytest.raises(UnknownKeyError) as caught:
        own(BASE + "loss: {gama: 1}\n")
    assert caught.value.where.endswith("a.yaml, line 3, loss.gama")
