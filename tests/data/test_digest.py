"""sha256_of: the hash of the whole, in the memory of a part."""

import hashlib
import os

import pytest
import torch

from dlplug.bench.memory import peak_growth
from dlplug.data.digest import PART, sha256_of
from dlplug.data.records import Records


@pytest.mark.parametrize("dtype", [torch.float32, torch.int64, torch.bool, torch.uint8])
@pytest.mark.parametrize("shape", [(5,), (300_000, 3), (2, PART), (0, 3)])
def test_it_is_the_hash_of_the_bytes(dtype, shape):
    """In parts as in one, chosen rows as all; checkpoints hold such hashes."""
    tensor = (torch.arange(torch.Size(shape).numel()) % 7).reshape(shape).to(dtype)
    rows = torch.arange(len(tensor) - 1, -1, -2)
    for chosen, whole in ((None, tensor), (rows, tensor[rows])):
        digest = hashlib.sha256(whole.numpy().tobytes() * 2).hexdigest()
        assert sha256_of([tensor, tensor], chosen) == digest


def test_a_view_is_hashed_as_it_reads():
    """Whatever lies between its elements."""
    view = torch.arange(12).reshape(3, 4).t()
    assert sha256_of([view]) == sha256_of([view.clone()]) != sha256_of([view.t()])


@pytest.mark.skipif(
    not os.access("/proc/self/clear_refs", os.W_OK), reason="the peak of memory cannot be reset"
)
def test_a_large_table_is_not_copied():
    """Half of its rows are hashed in less than half of the memory that a copy of them takes."""
    table = torch.ones(1 << 17, 128)
    records = Records(table, torch.zeros(len(table)), torch.arange(0, len(table), 2))
    assert peak_growth(records.digest) < table.nbytes / 4
