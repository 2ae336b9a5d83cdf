"""Spool: predictions on the disk, as they were."""

import os
from contextlib import closing

import pytest
import torch

from dlplug.bench.memory import peak_growth
from dlplug.errors import StorageError
from dlplug.run.prediction_spool import Spool

DTYPES = (torch.float32, torch.float64, torch.bfloat16, torch.int64, torch.uint8, torch.bool)


@pytest.fixture
def spool(tmp_path):
    """An empty one, in an empty folder."""
    with closing(Spool(tmp_path)) as made:
        yield made


@pytest.mark.parametrize("dtype", DTYPES)
def test_tensors_come_back(spool, tmp_path, dtype):
    """Any rows of them, across batches; nothing is seen in the folder."""
    whole = torch.arange(7 * 3 * 2).reshape(7, 3, 2).to(dtype)
    for batch in whole.split((3, 3, 1)):
        spool.add(batch)
    assert len(spool) == 7 and not list(tmp_path.iterdir())
    for start, count in ((0, 7), (2, 3), (6, 1)):
        rows = spool.rows(start, count)
        assert rows.dtype == dtype and torch.equal(rows, whole[start : start + count])


def test_shapes_may_change(spool):
    """One tensor for each record then, as for images of several sizes; views too."""
    first, second = torch.arange(3, dtype=torch.uint8).view(1, 3), torch.ones(5, 2).t()
    spool.add(first)
    spool.add([second[0], torch.ones(2)])
    spool.add(second)
    expected = [first[0], second[0], torch.ones(2), *second]
    found = spool.rows(0, 9)
    assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))


def test_objects_are_kept(spool):
    """In their order."""
    assert spool.rows(0, 3) == []
    spool.add(["a", "b"])
    spool.add(["c"])
    assert spool.rows(1, 2) == ["b", "c"]


def test_tensors_may_have_no_elements(spool):
    """There is nothing to store of them but how many there are."""
    spool.add(torch.zeros(4, 0))
    assert spool.rows(1, 2).shape == (2, 0)


@pytest.mark.skipif(
    not os.access("/proc/self/clear_refs", os.W_OK), reason="the peak of memory cannot be reset"
)
def test_it_holds_nothing(spool):
    """Sixteen times a batch of 4 MiB leaves the memory as it was."""
    batch = torch.ones(1 << 10, 1 << 10)

    def keep():
        for _ in range(16):
            spool.add(batch)

    assert peak_growth(keep) < 4 * batch.nbytes


def test_a_full_disk_is_told(spool, tmp_path):
    """By the error that says how much room there is."""
    spool._file.close()
    spool._file.file = open("/dev/full", "w+b")  # noqa: SIM115 - closed by the fixture
    with pytest.raises(StorageError, match="No space left on device"):
        spool.add(torch.ones(1 << 16))
    with pytest.raises(StorageError, match="cannot be written"):
        Spool(tmp_path / "missing").add(torch.ones(1))
