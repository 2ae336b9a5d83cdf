"""Prefetching the cache lines of tensors: which, when, and that nothing is read or changed."""

from dataclasses import dataclass

import pytest
import torch

from dlplug import ops
from dlplug.ops import _known_rows, _prefetch
from dlplug.ops._adamw_rows import Rows
from tests.ops.adamw_cases import make_lists

pytestmark = pytest.mark.usefixtures("cpu_kernels")


@dataclass
class Noting:
    """In the place of the op: how many lines each call prefetches."""

    seen: list[int]
    devices: set[str]

    def __call__(self, lines):
        self.seen.append(len(lines))


def test_the_lines_are_those_of_the_tensors_own_objects():
    """All of Python's object, of C++'s and of the storage's first part; no element's address."""
    tensors = [torch.ones(3), torch.ones(2, 2)]
    lines = _prefetch.lines_of(tensors).tolist()
    expected = []
    for tensor in tensors:
        for start, size in (
            (id(tensor), 32),
            (tensor._cdata, 192),
            (tensor.untyped_storage()._cdata, 96),
        ):
            expected += dict.fromkeys(byte // 64 * 64 for byte in range(start, start + size))
    assert lines == expected


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
    monkeypatch.setattr(_known_rows, "prefetch", Noting(seen, {"cpu"}))
    for shape, is_asked in (((4,), False), ((2**17,), True)):
        params, grads, m, v, _, steps = make_lists([shape])
        rows = Rows(params, grads, m, v, [], steps)
        rows.prefetch()
        assert seen == []
        with ops.use_backend("cpu"):
            assert rows.refusal() is None
        rows.prefetch()
        lines = len(_prefetch.lines_of([*params, *m, *v, *steps]))
        assert seen == ([lines] if is_asked else [])


def test_without_a_library_nothing_is_asked_for(monkeypatch):
    """The rows are looked at there as well, for PyTorch's fused kernel."""
    seen = []
    monkeypatch.setattr(_known_rows, "prefetch", Noting(seen, set()))
    rows = Rows(*make_lists([(2**17,)]))
    assert rows.lists_for_torch_fused() is not None
    rows.prefetch()
    assert seen == []
