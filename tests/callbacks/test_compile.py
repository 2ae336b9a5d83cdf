"""compile: the compiled architecture is what is trained, under the same names."""

import pytest
import torch
import torch._dynamo.utils

from dlplug.callbacks.checkpoint import Checkpoint
from dlplug.callbacks.compile import Compile
from dlplug.callbacks.ema import EMA
from dlplug.errors import InvalidValueError


def test_it_trains_as_without(task, fit):
    """Weights, averages and a checkpoint's names; the module is plain again afterwards."""
    plain, module = task(), task()
    before, after = Checkpoint(), Checkpoint()
    fit(plain, EMA(0.9), before)
    expected = torch.load(before.last_model_path, weights_only=True)
    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()
    fit(module, Compile(backend="eager", fullgraph=True, dynamic=False), EMA(0.9), after)
    found = torch.load(after.last_model_path, weights_only=True)
    for key in ("state_dict", "ema"):
        torch.testing.assert_close(found[key], expected[key], rtol=0, atol=0)
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] >= 1
    assert module.architecture._compiled_call_impl is None


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"mode": "fast"}, "mode = 'fast'"),
        ({"backend": "eager", "mode": "max-autotune"}, "backend eager has no mode"),
        ({"backend": "gcc"}, "backend = 'gcc'"),
    ],
)
def test_values_out_of_range_are_refused(task, fit, arguments, message):
    """The message holds the value."""
    with pytest.raises(InvalidValueError, match=message):
        fit(task(), Compile(**arguments))
