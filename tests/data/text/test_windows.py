"""Windows: a gather of tokens and next tokens, and the order of streams."""

from itertools import pairwise

import torch

from dlplug.data.text.windows import Windows


def test_windows_end_before_the_last_token():
    """Every target exists; what is shorter than a window has none."""
    assert Windows(torch.arange(11), 5, 5).starts.tolist() == [0, 5]
    assert Windows(torch.arange(10), 5, 5).starts.tolist() == [0]
    assert Windows(torch.arange(11), 5, 2).starts.tolist() == [0, 2, 4]
    assert len(Windows(torch.arange(5), 5, 5)) == 0
    tokens, targets = Windows(torch.arange(11), 5, 5).__getitems__([1])
    assert tokens.tolist() == [[5, 6, 7, 8, 9]] and targets.tolist() == [[6, 7, 8, 9, 10]]


def test_streams_go_on_in_each_of_several_processes():
    """Two processes with batches of two read four streams: each takes every second record."""
    windows = Windows(torch.arange(2 * 4 * 3 + 3), 2, 2, streams=4)
    assert len(windows) == 12  # of 13, which do not fill four streams
    for rank in range(2):
        mine = list(range(rank, len(windows), 2))
        batches = [windows.__getitems__(mine[i : i + 2]) for i in range(0, len(mine), 2)]
        for (_, targets), (tokens, _) in pairwise(batches):
            assert torch.equal(targets[:, -1], tokens[:, 0])
