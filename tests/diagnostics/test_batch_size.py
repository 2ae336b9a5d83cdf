"""Speed and memory of growing batches."""

import pytest
import torch
from matplotlib.image import imread
from torch import nn

from dlplug.diagnostics import batch_size
from dlplug.diagnostics.batch_size import (
    BatchSizes,
    Measured,
    draw_batch_sizes,
    expected_memory,
    judge,
    try_batch_sizes,
)
from dlplug.errors import InvalidValueError

MIB = 2**20


def test_the_knee_is_the_smallest_fast_size():
    """Nine tenths of the best; what does not fit does not count."""
    tried = [Measured(8, 100, 1, MIB), Measured(16, 185, 1, MIB), Measured(32, 200, 1, MIB)]
    found = judge(BatchSizes([*tried, Measured(64)], limit=2 * MIB))
    assert (found.suggestion, found.largest) == (16, 32)
    assert judge(BatchSizes([Measured(8)])).suggestion is None


def test_memory_is_foretold():
    """By the last two sizes."""
    assert expected_memory([Measured(8, 1, 1, 100), Measured(16, 1, 1, 180)], 32) == 340
    assert expected_memory([Measured(8, 1, 1, 100)], 16) == 0


def test_sizes_double_as_far_as_there_are_records(experiment, tmp_path):
    """The data module's own size is put back."""
    made = experiment()
    found = try_batch_sizes(made, smallest=512, steps=2)
    assert [m.batch_size for m in found.tried] == [512, 1024]
    assert found.ended == "there are 1259 training records"
    assert found.suggestion in (512, 1024) and found.largest == 1024
    assert made.datamodule.batch_size == 32
    path = draw_batch_sizes(found, tmp_path / "b.png", "x")
    assert imread(path).shape[1] > 1000


def test_a_limit_of_memory_ends_it(experiment):
    """Nothing fits into a mebibyte."""
    found = try_batch_sizes(experiment(), smallest=8, steps=2, memory_limit=MIB)
    assert found.suggestion is None and found.tried[0].remark == "above the limit"


def test_an_epoch_may_end_before_a_batch_is_full(experiment, monkeypatch):
    """Where the data does not tell how many records it has."""
    monkeypatch.setattr(batch_size, "records_of", lambda trial: None)
    found = try_batch_sizes(experiment(), smallest=1024, steps=2)
    assert (found.largest, found.ended) == (1024, "2048 is more than an epoch has")


class Greedy(nn.Module):
    """Runs out of memory above 16 records."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(64, 10)

    def forward(self, x):
        if len(x) > 16 and self.training:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return self.layer(x.flatten(1))


def test_running_out_of_memory_is_no_error(with_model):
    """The largest size that fits is told."""
    made = with_model(Greedy())
    found = try_batch_sizes(made, smallest=8, steps=2)
    assert (found.largest, found.ended) == (16, "32 is out of memory")
    assert found.tried[-1].remark == "out of memory"


def test_values_out_of_range_are_refused():
    """The message holds them."""
    with pytest.raises(InvalidValueError, match="min = 8, max = 4"):
        try_batch_sizes(None, largest=4)
