"""Where NaN comes from, seen by one of several processes."""

import pytest
import torch
from torch import nn

from dlplug.callbacks.numbers.non_finite import Origin, first_of_all, origin


@pytest.mark.parametrize(("is_shared", "passes"), [(False, 0), (True, 1)])
def test_several_processes_all_repeat_the_pass(task, monkeypatch, is_shared, passes):
    """One whose own record is bad would else leave the others waiting for its shards."""
    monkeypatch.setattr(torch.distributed, "is_initialized", lambda: is_shared)
    monkeypatch.setattr(torch.distributed, "get_world_size", lambda: 2)
    module, seen = task(nn.Sequential(nn.Flatten(), nn.Linear(64, 10))), []
    module.architecture.register_forward_hook(lambda *arguments: seen.append(1))
    images = torch.rand(8, 1, 8, 8)
    images[3] = float("nan")
    found = origin(module, (images, torch.arange(8)))
    assert found == ("batch[0] holds NaN in its record 3", True)
    assert len(seen) == passes


@pytest.mark.parametrize(
    ("found", "told"),
    [
        ([(False, "a"), (True, "b"), (False, "c")], ("process 1 of 3, batch 1", "b")),
        (
            [(True, "a"), (False, "b"), (True, "c")],
            ("process 0 of 3, batch 0", "a (and process 2)"),
        ),
        ([(False, "a")] * 3, ("batch 0", "a")),
        ([(True, "a")], ("batch 0", "a")),
    ],
)
def test_the_process_whose_batch_it_was_is_named(monkeypatch, found, told):
    """The first of several; none of one alone, and where no batch but a reduced gradient is bad."""
    everywhere = [(Origin(text, own), f"batch {i}") for i, (own, text) in enumerate(found)]

    def gather(parts, mine):
        parts[:] = everywhere

    monkeypatch.setattr(torch.distributed, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.distributed, "get_world_size", lambda: len(everywhere))
    monkeypatch.setattr(torch.distributed, "all_gather_object", gather)
    assert first_of_all(*everywhere[-1]) == told
