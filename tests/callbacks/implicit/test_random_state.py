"""RandomState: the global random streams, saved as plain data."""

import random

import numpy as np
import torch

from dlplug.callbacks.implicit.random_state import capture, restore
from dlplug.tasks.checkpoint import check_plain


def draw():
    return random.random(), float(np.random.rand()), float(torch.rand(()))


def test_restored_streams_repeat(tmp_path):
    """Python's, numpy's and torch's, through a file that holds plain data only."""
    np.random.randn()  # leaves a second normal number for later, which belongs to the state
    state = capture()
    expected = draw(), float(np.random.randn())
    check_plain(state)
    torch.save(state, tmp_path / "state.pt")
    draw()
    restore(torch.load(tmp_path / "state.pt", weights_only=True))
    assert (draw(), float(np.random.randn())) == expected


def test_capturing_changes_nothing():
    """A saved checkpoint does not shift the stream."""
    random.seed(1), np.random.seed(1), torch.manual_seed(1)
    expected = draw()
    random.seed(1), np.random.seed(1), torch.manual_seed(1)
    capture()
    assert draw() == expected
