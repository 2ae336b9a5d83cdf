"""Facts of components."""

import json

import pytest
import torch

from dlplug.architectures.vit import ViT
from dlplug.config.facts import BY_DATA, BY_RUN, BY_TASK, Facts, argument_of, facts_of
from dlplug.config.parameters import Parameter


def argument(facts, name):
    return next(a for a in facts.arguments if a.name == name)


def test_arguments_are_told_with_type_default_and_description():
    """And who gives a value that the config need not."""
    facts = facts_of("architectures", ViT)
    depth = argument(facts, "depth")
    assert (depth.type, depth.default, depth.doc) == ("int", "6", "Number of blocks.")
    assert depth.schema == {"type": "integer", "default": 6}
    assert argument(facts, "in_channels").filled_by == BY_DATA
    assert argument(facts, "num_outputs").filled_by == BY_TASK
    assert not argument(facts, "num_outputs").is_required
    assert argument(facts, "num_outputs").schema == {
        "anyOf": [{"type": "integer"}, {"type": "null"}]
    }


def test_what_the_run_gives_is_no_task_for_the_config():
    """A logger's folder is required by its signature only."""
    from lightning.pytorch.loggers import CSVLogger

    folder = argument(facts_of("loggers", CSVLogger), "save_dir")
    assert folder.filled_by == BY_RUN and not folder.is_required


def test_a_module_without_a_constructor_takes_nothing():
    """Though nn.Module's own has ``**kwargs``."""
    assert not facts_of("losses", type("Plain", (torch.nn.Module,), {})).is_open


def test_what_the_run_passes_is_not_an_argument():
    """The parameters of an optimizer."""
    assert facts_of("optimizers", torch.optim.SGD).arguments[0].name == "lr"


def test_facts_survive_json():
    """Unchanged."""
    for kind, target in (("architectures", ViT), ("optimizers", torch.optim.Adam)):
        facts = facts_of(kind, target)
        assert Facts.from_dict(json.loads(json.dumps(facts.to_dict()))) == facts


THING = object()


def nan(x=float("nan"), y=(1, float("inf")), z=THING):
    """Defaults that JSON cannot hold."""


def test_defaults_that_json_cannot_hold_are_left_out():
    """They are told as text."""
    facts = facts_of("architectures", nan)
    assert all("default" not in a.schema for a in facts.arguments)
    assert [a.default for a in facts.arguments] == [".nan", "[1, .inf]", "object"]


class RaisingHint:
    """A hint that raises at whatever is asked of it."""

    def __eq__(self, other):
        raise RuntimeError("no comparison")

    __hash__ = None


def odd(x: RaisingHint() = 1, *, y: "NoSuchName" = 2):  # noqa: F821 - on purpose
    """Odd.

    Args:
        x
        y: [/bold] :class:`
    """


@pytest.mark.parametrize(
    "target", [odd, 7, int, len, nan], ids=lambda target: str(getattr(target, "__name__", target))
)
def test_an_odd_component_is_described_as_far_as_possible(target):
    """Nothing raises; what cannot be read is left open."""
    for kind in ("architectures", "losses", "commands"):
        facts_of(kind, target)
    assert facts_of("architectures", odd).arguments[0].default in ("1", "?")


def test_a_component_s_name_is_asked_for_by_kind():
    """No schema of its own."""
    parameter = Parameter("transforms", list, (), "")
    assert argument_of(parameter).kind == "transforms"
    assert argument_of(parameter).schema == {"default": []}
