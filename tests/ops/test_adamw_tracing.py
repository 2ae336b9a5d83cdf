"""The AdamW op itself, and in compiled graphs."""

import pytest
import torch

from dlplug import ops
from tests.ops.adamw_cases import (
    DTYPES,
    OPTIONS,
    assert_same_bits,
    averages_of,
    copy_of,
    make_lists,
    replaced,
)

pytestmark = pytest.mark.usefixtures("cpu_kernels", "one_thread")


def numbers():
    return torch.tensor([*OPTIONS.values(), 0.25], dtype=torch.float64)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("amsgrad", [False, True])
@pytest.mark.parametrize("averaged", [False, True])
def test_opcheck(dtype, amsgrad, averaged):
    """Schema, fake kernel and tracing of the op agree with what it does."""
    lists = make_lists([(5,), (3, 2)], dtype, amsgrad=amsgrad, step=1)
    averages = averages_of(lists) if averaged else []
    torch.library.opcheck(torch.ops.dlplug.adamw_.default, (*lists, averages, numbers(), False))


def test_the_op_guards_itself():
    """Called past the public function, the kernel still refuses what it would read wrongly."""
    for change, words in (
        (lambda x: copy_of(x, torch.float64), "expected float32, bfloat16 or float16"),
        (lambda x: [x[0], x[1], [torch.zeros(4)], *x[3:]], "must have its shape"),
        (lambda x: [*x[:5], [torch.zeros((), dtype=torch.float64)]], "step 0 be a float32"),
        (lambda x: [*x[:5], []], "lists of the same length"),
        (lambda x: replaced(x, lambda t: torch.zeros(10)[::2].copy_(t)), "must be dense"),
    ):
        with pytest.raises(RuntimeError, match=words):
            torch.ops.dlplug.adamw_(*change(make_lists([(5,)])), [], numbers(), False)
    lists = make_lists([(5,)], torch.bfloat16)
    for averages, words in (
        (lists[2], "must have its shape, strides and dtype"),  # bfloat16
        ([torch.zeros(5), torch.zeros(5)], "lists of the same length"),
    ):
        with pytest.raises(RuntimeError, match=words):
            torch.ops.dlplug.adamw_(*lists, averages, numbers(), False)
    with pytest.raises(RuntimeError, match="contiguous int64 table that begins with 11 numbers"):
        torch.ops.dlplug.adamw_tables_([torch.zeros(6, dtype=torch.int64)], 0.0)
    with_averages = torch.tensor([0, 1, *[0] * 9, *[0] * 7])
    with pytest.raises(RuntimeError, match="expected 8 columns"):
        torch.ops.dlplug.adamw_tables_([with_averages], 0.0)


@pytest.mark.parametrize("amsgrad", [False, True])
@pytest.mark.parametrize("averaged", [False, True])
def test_compiled_calls_keep_the_op(amsgrad, averaged):
    """In a full graph the call is one op, and gives the bits of the eager call."""
    graphs = []

    def capture(module, _):
        graphs.append([str(node.target) for node in module.graph.nodes])
        return module

    @torch.compile(fullgraph=True, backend=capture)
    def step(*lists):
        *lists, averages = lists
        ops.adamw_(*lists, **OPTIONS, averages=averages, average_weight=0.25)

    found = make_lists([(5,), (3, 2)], amsgrad=amsgrad)
    found[1][1] = found[1][1].T.contiguous().T
    expected = copy_of(found)
    averages, others = (averages_of(found) if averaged else [] for _ in range(2))
    step(*found, averages)
    ops.adamw_(*expected, **OPTIONS, averages=others, average_weight=0.25)
    assert_same_bits([*found, averages], [*expected, others])
    assert graphs[0].count("dlplug.adamw_.default") == 1
