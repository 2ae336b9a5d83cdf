"""Asking for the cache lines of tensors: which, when, and that nothing is read or changed."""

from dataclasses import dataclass

import pytest
import torch

from dlplug import ops
from dlplug.ops import _adamw_rows, _prefetch
from dlplug.ops._adamw_rows import Rows
from tests.ops.adamw_cases import make_lists

pytestmark = pytest.mark.usefixtures("cpu_kernels")


@dataclass
class Noting:
    """In the place of the op: how many lines each call asked for."""

    seen: list[int]
    devices: set[str]

    def __call__(self, lines):
        self.seen.append(len(lines))


def test_the_lines_are_those_of_the_tensors_own_objects():
    """Python's object, C++'s three lines and the storage of each; no element's address."""
    tensors = [torch.ones(3), torch.ones(2, 2)]
    lines = _prefetch.lines_of(tensors).tolist()
    for tensor, found in zip(tensors, (lines[:5], lines[5:]), strict=True):
        impl = tensor._cdata
        storage = tensor.untyped_storage()._cdata
        assert found == [id(tensor), storage, impl, impl + 64, impl + 128]


def test_addresses_of_nothing_do_no_harm():
    """Of a tensor that is gone, of no page at all, none."""
    gone = _prefetch.lines_of([torch.ones(3)])
    for addresses in (gone, torch.tensor([0, 1, -1, 2**62]), torch.zeros(0, dtype=torch.int64)):
        _prefetch.prefetch(addresses)
    with pytest.raises(RuntimeError, match="contiguous int64 addresses"):
        _prefetch.prefetch(torch.zeros(3))


def test_only_rows_that_fill_a_cache_are_asked_for(monkeypatch):
    """Known rows, before the next update; what a small network has is still in the caches."""
    seen = []
    monkeypatch.setattr(_adamw_rows, "prefetch", Noting(seen, {"cpu"}))
    for shape, expected in (((4,), []), ((2**17,), [5 * 4])):
        rows = Rows(*make_lists([shape]))
        rows.prefetch()
        assert seen == []
        with ops.use_backend("cpu"):
            assert rows.refusal() is None
        rows.prefetch()
        assert seen == expected


def test_without_a_library_nothing_is_asked_for(monkeypatch):
    """The rows are looked at there as well, for PyTorch's fused kernel."""
    seen = []
    monkeypatch.setattr(_adamw_rows, "prefetch", Noting(seen, set()))
    rows = Rows(*make_lists([(2**17,)]))
    assert rows.lists_for_torch_fused() is not None
    rows.prefetch()
    assert seen == []
