"""Where NaN comes from, seen by one of several processes."""

import pytest
import torch
from torch import nn

from dlplug.callbacks.numbers.non_finite import origin


@pytest.mark.parametrize(("is_shared", "passes"), [(False, 0), (True, 1)])
def test_several_processes_all_repeat_the_pass(task, monkeypatch, is_shared, passes):
    """One whose own record is bad would else leave the others waiting for its shards."""
    monkeypatch.setattr(torch.distributed, "is_initialized", lambda: is_shared)
    module, seen = task(nn.Sequential(nn.Flatten(), nn.Linear(64, 10))), []
    module.architecture.register_forward_hook(lambda *arguments: seen.append(1))
    images = torch.rand(8, 1, 8, 8)
    images[3] = float("nan")
    assert origin(module, (images, torch.arange(8))) == "batch[0] holds NaN in its record 3"
    assert len(seen) == passes
