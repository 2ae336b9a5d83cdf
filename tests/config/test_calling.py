"""How components are called."""

import pytest
import torch

from dlplug.config.calling import BUILT_FOR_TASKS, component_parameters
from dlplug.config.slots import SLOTS
from dlplug.tasks.classification import Classification


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


def test_a_tasks_parts_are_slots():
    """All but the data spec."""
    assert set(BUILT_FOR_TASKS) - {"data_spec"} <= set(SLOTS)
