"""ForecastWindows: which rows a window reads."""

import torch

from dlplug.data.series.windows import ForecastWindows

VALUES = torch.stack([torch.arange(20.0), torch.arange(20.0) + 100], dim=1)


def windows(rows, stride=1):
    return ForecastWindows(VALUES, 1, 3, 2, rows, stride)


def test_targets_follow_the_past():
    """All features of the past, the first column of what follows."""
    past, future = windows(range(20)).__getitems__([1, 15])
    assert past[0].tolist() == [[1, 101], [2, 102], [3, 103]]
    assert future.tolist() == [[[4], [5]], [[18], [19]]]


def test_no_target_belongs_to_two_splits():
    """Training ends before validation begins; the past may reach back, the targets do not."""
    rows = [windows(part) for part in (range(10), range(10, 15), range(15, 20))]
    targets = [w.__getitems__(range(len(w)))[1].unique().tolist() for w in rows]
    assert targets == [
        list(range(3, 10)),
        list(range(10, 15)),
        list(range(15, 20)),
    ]


def test_a_stride_leaves_windows_out():
    """Every fourth."""
    assert windows(range(20), 4).starts.tolist() == [0, 4, 8, 12]


def test_too_few_rows_are_no_window():
    """Nor is an empty split."""
    assert len(windows(range(4))) == len(windows(range(10, 11))) == len(windows(range(20, 20))) == 0


def test_the_digest_is_of_what_is_read():
    """A later row makes no difference, an earlier one does."""
    before = windows(range(10)).digest()
    changed = VALUES.clone()
    changed[15] = 0
    assert ForecastWindows(changed, 1, 3, 2, range(10)).digest() == before
    changed[5] = 0
    assert ForecastWindows(changed, 1, 3, 2, range(10)).digest() != before
