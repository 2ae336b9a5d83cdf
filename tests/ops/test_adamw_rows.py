"""Tests of dlplug/ops/_adamw_rows.py: what is looked at again, and what need not be."""

import weakref

import pytest
import torch

from dlplug.ops import _adamw_rows
from dlplug.ops._adamw_rows import Rows
from tests.ops.adamw_cases import make_lists


@pytest.fixture
def examined(monkeypatch):
    """How often a parameter's states were looked at in full."""
    seen = []
    row = _adamw_rows.Row
    refuse = row.refusal
    monkeypatch.setattr(row, "refusal", lambda self: seen.append(1) or refuse(self))
    return seen


NUMBERS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8)


def columns_of(rows):
    """The table without the numbers that it begins with."""
    return rows.table(False, *NUMBERS)[3 + len(NUMBERS) :]


def test_known_rows_are_not_examined_again(examined):
    """With the same tensors at the same addresses only gradients are new."""
    lists = make_lists([(3,), (4,)])
    rows = Rows(*lists)
    assert rows.refusal() is None
    assert len(examined) == 2
    lists[1] = [torch.ones(3), torch.ones(4)]
    rows.fill(*lists)
    assert rows.refusal() is None
    assert len(examined) == 2


@pytest.mark.parametrize("kind", [0, 2, 3, 4, 5])
@pytest.mark.parametrize("change", ["object", "address", "same memory", "layout"])
def test_a_replaced_tensor_is_examined(kind, change, examined):
    """Other memory or another layout of it; another object alone changes nothing."""
    lists = make_lists([(3,), (4,)], amsgrad=True)
    rows = Rows(*lists)
    assert rows.refusal() is None
    old = lists[kind][1]
    if change == "object":
        lists[kind][1] = old.clone()
    elif change == "address":
        old.data = old.data.clone()
    elif change == "same memory":
        lists[kind][1] = old.view_as(old)
    else:
        old.unsqueeze_(0)
    rows.fill(*lists)
    assert (rows.refusal() is None) == (change != "layout" or kind == 5)
    assert len(examined) == (2 if change == "same memory" else 4)
    if change == "layout":
        return
    column = {0: 0, 2: 1, 3: 2, 4: 3, 5: 4}[kind]
    assert columns_of(rows)[2 * column + 1] == lists[kind][1].data_ptr()


def test_released_rows_hold_no_gradients(examined):
    """Neither gradients nor their copies; what is known of parameters is still known."""
    lists = make_lists([(3,), (4, 2)])
    lists[1][1] = lists[1][1].T.contiguous().T
    rows = Rows(*lists)
    assert rows.refusal() is None
    held = [weakref.ref(tensor) for tensor in (*lists[1], rows._copies[0][1])]
    lists[1] = []
    rows.release()
    assert [ref() for ref in held] == [None, None, None]
    lists[1] = [torch.ones(3), torch.ones(4, 2)]
    rows.fill(*lists)
    assert rows.refusal() is None
    assert len(examined) == 2


def test_the_table():
    """Addresses by column: parameters, m, v, u, steps; sizes, dtypes; gradients."""
    lists = make_lists([(3,), (2, 2)], torch.bfloat16, amsgrad=True)
    rows = Rows(*lists)
    assert rows.refusal() is None
    p, g, m, v, u, t = lists
    expected = [[x.data_ptr() for x in kind] for kind in (p, m, v, u, t)]
    expected += [[3, 4], [1, 1], [x.data_ptr() for x in g]]
    assert columns_of(rows).view(8, 2).tolist() == expected
    assert rows.table(True, *NUMBERS)[:3].tolist() == [1, 0, 1]
    assert rows.table(True, *NUMBERS)[3:11].view(torch.float64).tolist() == list(NUMBERS)


@pytest.mark.parametrize(
    ("grad", "reason"),
    [
        (torch.ones(3, dtype=torch.float64), "its gradient has another dtype or shape"),
        (torch.ones(4), "its gradient has another dtype or shape"),
        (torch.ones(3, device="meta"), "its gradient: a tensor is on meta"),
        (torch.ones(3).to_sparse(), "its gradient: the layout is torch.sparse_coo"),
        (torch._efficientzerotensor(3), "its gradient: its memory was released"),
    ],
    ids=["dtype", "shape", "device", "sparse", "zero"],
)
@pytest.mark.parametrize("is_first", [True, False])
def test_gradients_are_examined_each_time(grad, reason, is_first):
    """A gradient that does not fit is refused, whether or not its row was known."""
    lists = make_lists([(5,), (3,)])
    rows = Rows(*lists)
    if not is_first:
        assert rows.refusal() is None
    lists[1][1] = grad
    rows.fill(*lists)
    assert rows.refusal() == f"parameter 1: {reason}"
    assert rows.refusals() == [None, reason]
    assert rows.lists_for_torch_fused() is None


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda x: x[0].__setitem__(0, x[0][0].to("meta")), "a tensor is on meta"),
        (lambda x: x[2].__setitem__(0, torch.ones(4, 2)), "a state has another dtype or shape"),
        (lambda x: x[2].__setitem__(0, torch.ones(4, 2).T), "a state has other strides"),
        (lambda x: x[5].__setitem__(0, x[5][0].double()), "its step is torch.float64, not float32"),
        (lambda x: x[0].__setitem__(0, torch.ones(1, 4).expand(2, 4)), "leave gaps or overlap"),
    ],
)
def test_what_is_refused(change, reason):
    """Each reason is named."""
    lists = make_lists([(2, 4)])
    change(lists)
    assert reason in Rows(*lists).refusal()


ONE = torch.ones(2)


@pytest.mark.parametrize(
    ("kinds", "is_fit"),
    [
        ([[torch.ones(2)] for _ in range(4)], True),
        ([[torch.ones(2, dtype=torch.float64)] for _ in range(4)], True),
        ([[torch.ones(2, dtype=torch.complex64)] for _ in range(4)], False),
        ([[torch.ones(4)[::2]] for _ in range(4)], False),
        ([[ONE, ONE]] * 4, False),
    ],
    ids=["float32", "float64", "complex", "gaps", "shared"],
)
def test_what_pytorchs_fused_kernel_may_be_given(kinds, is_fit):
    """Only what lies in memory as that kernel assumes."""
    steps = [torch.ones(()) for _ in kinds[0]]
    assert (Rows(*kinds, [], steps).lists_for_torch_fused() is not None) == is_fit


def test_pytorchs_fused_kernel_gets_gradients_as_it_reads_them():
    """Only a gradient with other strides is replaced, by a copy with the parameter's."""
    lists = make_lists([(2, 3), (2, 3)], torch.float64)
    lists[1][1] = lists[1][1].T.contiguous().T
    params, grads, *_ = Rows(*lists).lists_for_torch_fused()
    assert params is lists[0]
    assert grads[0] is lists[1][0]
    assert grads[1].is_contiguous()
    assert torch.equal(grads[1], lists[1][1])
