"""AdamW with compact states in compiled graphs."""

import pytest
import torch
from torch._dynamo.backends.common import aot_autograd

from dlplug import ops
from dlplug.ops.fallback.compact_adamw import STORAGES
from dlplug.optim import CompactAdamW
from tests.ops.adamw_cases import OPTIONS
from tests.ops.test_compact_adamw import make


@pytest.mark.parametrize("storage", STORAGES)
def test_a_full_graph_does_what_the_reference_does(storage):
    """There the call is PyTorch's own operations, which a compiler may fuse."""
    shapes = [(5,), (3, 2)]
    found, expected = make(storage, shapes=shapes), make(storage, shapes=shapes)
    step = torch.compile(ops.compact_adamw_, fullgraph=True, backend="eager")
    for run, mode in ((step, "auto"), (ops.compact_adamw_, "reference")):
        lists = found if run is step else expected
        torch.manual_seed(1)
        with ops.use_backend(mode):
            run(*lists, storage=storage, **OPTIONS)
    torch.testing.assert_close(found[0], expected[0])
    for mine, reference in zip(found[2], expected[2], strict=True):
        # The compiler keeps 1 - beta with one digit more or less.
        torch.testing.assert_close(mine, reference, rtol=1e-6, atol=0)


@pytest.mark.parametrize("storage", ["float32_states", "8bit"])
def test_schedules_do_not_compile_a_step_again(storage, compiler):
    """Numbers of a group that change from step to step are inputs of the graph."""
    graphs, pairs = [], []
    for _ in range(2):
        param = torch.nn.Parameter(torch.linspace(-1, 1, 300))
        pairs.append((param, CompactAdamW([param], lr=0.1, storage=storage)))
    (param, eager), (traced, optimizer) = pairs

    def capture(graph, _):
        graphs.append(graph)
        return graph

    backend = aot_autograd(fw_compiler=capture)  # it is what compiles numbers in
    step = torch.compile(lambda: optimizer.step(), fullgraph=True, backend=backend)
    with ops.use_backend("reference"):
        for number in range(12):
            for each in (eager, optimizer):
                group = each.param_groups[0]
                group["lr"] *= 0.9
                group["betas"] = (0.9 - number / 100, 0.99)
                group["weight_decay"] = number / 100
            param.grad = traced.grad = torch.linspace(-1, 1, 300) * number
            eager.step()
            step()
    assert len(graphs) <= 2  # with constants first, then with numbers that change
    torch.testing.assert_close(traced, param, rtol=1e-5, atol=1e-5)


@pytest.mark.usefixtures("cpu_kernels")
def test_the_op_guards_itself():
    """Called past the public function, the kernel still refuses a table of another form."""
    for table, words in (
        (torch.zeros(6, dtype=torch.int64), "contiguous int64 table that begins with 11 numbers"),
        (torch.zeros(23), "contiguous int64 table"),
        (torch.zeros(11 + 13, dtype=torch.int64), "expected 12 columns"),
    ):
        with pytest.raises(RuntimeError, match=words):
            torch.ops.dlplug.compact_adamw_tables_([table], 0.0)
