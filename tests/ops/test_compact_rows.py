"""What is kept of compact AdamW's rows from step to step holds only while nothing has changed."""

import copy

import pytest
import torch

from dlplug import ops
from dlplug.errors import DtypeError, ShapeError
from dlplug.ops._compact_rows import CompactRows
from dlplug.ops.fallback.compact_adamw import BLOCK, STORAGES
from tests.ops.adamw_cases import OPTIONS
from tests.ops.norm_properties import needs_kernels
from tests.ops.test_compact_adamw import make

# Those without random bits, which follow the order of memory.
WITHOUT_CHANCE = [storage for storage in STORAGES if storage != "stochastic"]


def test_kept_rows_notice_other_dtypes_and_refuse_each_time():
    """``Module.float`` leaves the objects; the states of bfloat16 are none of float32."""
    params, grads, states = make("kahan", shapes=[(40,), (7,)])
    rows = CompactRows()
    ops.compact_adamw_(params, grads, states, storage="kahan", rows=rows, **OPTIONS)
    for param in params:
        param.data = param.data.float()
    wide = [grad.float() for grad in grads]
    for _ in range(2):
        with pytest.raises(DtypeError, match=r"states\[0\] is no state of the storage 'kahan'"):
            ops.compact_adamw_(params, wide, states, storage="kahan", rows=rows, **OPTIONS)


def test_kept_rows_refuse_wrong_averages_each_time():
    """A check that fails is made again."""
    lists, rows = make("kahan", shapes=[(4,)]), CompactRows()
    averages = [torch.ones(4, dtype=torch.float64)]
    for _ in range(2):
        with pytest.raises(DtypeError, match=r"averages\[0\] is torch.float64"):
            ops.compact_adamw_(*lists, storage="kahan", averages=averages, rows=rows, **OPTIONS)


@pytest.mark.parametrize("shape", [(16,), (4,), (2, 4)], ids=str)
def test_kept_rows_notice_another_shape_and_write_nothing(shape):
    """As after ``param.data = ...``: the kernel would write past the states' ends."""
    params, grads, states = make("float32_states", shapes=[(8,)])
    wide = {name: torch.full((64,), 7.0) for name in ("exp_avg", "exp_avg_sq")}
    states[0] |= {name: memory[:8].zero_() for name, memory in wide.items()}
    rows = CompactRows()
    step = dict(storage="float32_states", rows=rows, **OPTIONS)
    ops.compact_adamw_(params, grads, states, **step)
    params[0].data = torch.ones(shape, dtype=params[0].dtype)
    before = copy.deepcopy(states)
    for _ in range(2):
        with pytest.raises(ShapeError, match=r"states\[0\] is no state of the storage"):
            ops.compact_adamw_(params, [torch.ones_like(params[0])], states, **step)
    assert all(memory[8:].eq(7).all() for memory in wide.values())
    torch.testing.assert_close(states, before, rtol=0, atol=0)


@pytest.mark.parametrize("storage", WITHOUT_CHANCE)
def test_kept_rows_notice_strides_at_the_same_address(storage):
    """``param.data = param.data.t()``: each element goes on with its own m and v."""
    side = BLOCK // 8  # more blocks than one
    params, grads, states = make(storage, shapes=[(side, side)])
    plain = copy.deepcopy((params, grads, states))
    rows = CompactRows()
    ops.compact_adamw_(params, grads, states, storage=storage, rows=rows, **OPTIONS)
    ops.compact_adamw_(*plain, storage=storage, **OPTIONS)
    # What lies there as ``param.t()`` with states that are not transposed is the same step as that
    # of the transposed parameter in memory of its own, laid out as the states are.
    params[0].data = params[0].data.t()
    plain[0][0] = plain[0][0].t().contiguous()
    grad = [torch.randn(side, side).to(grads[0].dtype)]
    ops.compact_adamw_(params, grad, states, storage=storage, rows=rows, **OPTIONS)
    with ops.use_backend("reference"):
        ops.compact_adamw_(plain[0], grad, plain[2], storage=storage, **OPTIONS)
    torch.testing.assert_close(params[0], plain[0][0], rtol=0, atol=0)
    torch.testing.assert_close(states, plain[2], rtol=0, atol=0)


@needs_kernels
def test_kept_rows_notice_another_storage():
    """The states are those of the storage that they were made for."""
    lists, rows = make("float32_states", shapes=[(4,)]), CompactRows()
    ops.compact_adamw_(*lists, storage="float32_states", rows=rows, **OPTIONS)
    with pytest.raises(DtypeError, match="no state of the storage 'kahan'"):
        ops.compact_adamw_(*lists, storage="kahan", rows=rows, **OPTIONS)


@needs_kernels
def test_what_has_not_changed_is_not_looked_at_again(monkeypatch):
    """States are checked and addresses read once for as many steps as the rows stay the same."""
    lists, rows = make("kahan", shapes=[(4,), (5,)]), CompactRows()
    seen = []
    monkeypatch.setattr(rows, "_examine", lambda: seen.append("examined"))
    for _ in range(3):
        ops.compact_adamw_(*lists, storage="kahan", rows=rows, **OPTIONS)
        seen.append(rows.are_new)
    assert seen == ["examined", True, False, False]
