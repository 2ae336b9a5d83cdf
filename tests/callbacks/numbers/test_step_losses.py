"""StepLosses: the first bad batch of a step, and which ones there were."""

import gc
import weakref

import pytest
import torch

from dlplug.callbacks.numbers.step_losses import StepLosses

NAN = float("nan")


class Batch:
    """Something that can be watched."""


def step(*losses, first=0):
    """Of batches with these losses, each a number or several, and the batches."""
    batches = [Batch() for _ in losses]
    found = StepLosses(batches[0], first)
    for i, own in enumerate(losses):
        if i > 0:
            found.begin(batches[i], first + i)
        for loss in own if isinstance(own, tuple) else (own,):
            found.add(torch.tensor(loss))
    return found, batches


@pytest.mark.parametrize(
    ("losses", "which", "place"),
    [
        ((1.0,), 0, "batch 5"),
        ((NAN,), 0, "batch 5"),
        ((NAN, 1.0, NAN), 0, "batch 5"),
        ((1.0, float("inf"), 1.0), 1, "batch 6"),
        ((1.0, 1.0, NAN), 2, "batch 7"),
        ((1.0, (2.0, NAN), 1.0), 1, "batch 6"),
        (((NAN, 2.0), 1.0), 0, "batch 5"),
        ((1.0, (), NAN), 2, "batch 7"),
        ((NAN, (), ()), 0, "batch 5"),
        ((1.0, 2.0, 3.0), 2, "batches 5 to 7"),
    ],
)
def test_the_first_bad_batch_is_blamed(losses, which, place):
    """A batch may have several losses, or none; where all are finite, the last stands for all."""
    found, batches = step(*losses, first=4)
    assert bool(found.is_bad) == any(not torch.tensor(x).isfinite().all() for x in losses)
    assert found.blamed() == (batches[which], place)


@pytest.mark.parametrize(
    ("losses", "held"), [((1.0, 1.0, 1.0), [2]), ((1.0, NAN, 1.0, 1.0), [1, 3])]
)
def test_only_the_bad_batch_and_the_last_are_held(losses, held):
    """The others can be freed."""
    found, batches = step(*losses)
    watched = [weakref.ref(batch) for batch in batches]
    batches.clear()
    gc.collect()
    assert [i for i, batch in enumerate(watched) if batch() is not None] == held
    assert found.blamed()[0] is watched[held[0]]()
