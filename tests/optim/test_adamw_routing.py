"""FusedAdamW on the backend that is asked for, and compiled."""

import pytest
import torch

from dlplug import ops
from dlplug.errors import BackendError
from dlplug.optim import FusedAdamW
from tests.optim.adamw_cases import (
    BOTH,
    assert_equal_params,
    give_gradients,
    make,
    needs_kernels,
    take_steps,
)


def test_the_reference_backend(calls):
    """Under ``reference`` PyTorch's loop runs."""
    with ops.use_backend("reference"):
        take_steps(make(FusedAdamW), seeds=[0])
    assert calls == [(False, False)]


@needs_kernels
def test_a_backend_that_was_asked_for_is_not_replaced():
    """Under ``cpu`` a parameter that the kernel does not take is an error that says which."""
    with ops.use_backend("cpu"):
        take_steps(make(FusedAdamW))
        with pytest.raises(BackendError, match=r"parameter 0: torch\.float64 is not float32"):
            take_steps(make(FusedAdamW, torch.float64))


@needs_kernels
@pytest.mark.parametrize("options", [{}, {"amsgrad": True}, {"lr": torch.tensor(0.05)}], ids=str)
def test_a_compiled_step_is_one_op(options, compiler):
    """The whole step is a full graph with the op in it; schedules do not compile it again."""
    graphs = []

    def capture(graph, _):
        graphs.append([str(node.target) for node in graph.graph.nodes])
        return graph

    ours, theirs = make(FusedAdamW, **options), make(FusedAdamW, **options)
    compiled = torch.compile(lambda: ours[1].step(), fullgraph=True, backend=capture)
    for seed in range(12):
        give_gradients(seed, ours[0], theirs[0])
        for _, optimizer in (ours, theirs):
            group = optimizer.param_groups[0]
            group["lr"] = group["lr"] * 0.9
            group["betas"] = (0.9 - seed / 100, 0.99)
        compiled()
        theirs[1].step()
    assert len(graphs) <= 2  # with constants first, then with numbers that change
    assert all(graph.count("dlplug.adamw_.default") == 1 for graph in graphs)
    assert_equal_params(ours[0], theirs[0], 0)


def test_a_compiled_step_of_what_the_kernel_refuses(compiler):
    """PyTorch's code is traced instead."""
    # No scalar: torch 2.13 compiles the step of its own AdamW wrongly for one in float64.
    ours, theirs = (make(cls, torch.float64, shapes=[(7, 5), (5,)]) for cls in BOTH)
    compiled = torch.compile(lambda: ours[1].step(), fullgraph=True, backend="aot_eager")
    for seed in range(3):
        give_gradients(seed, ours[0], theirs[0])
        compiled()
        theirs[1].step()
    for param, other in zip(ours[0], theirs[0], strict=True):
        # In a graph PyTorch computes the bias corrections from the step, a float32.
        torch.testing.assert_close(param, other, rtol=2**-20, atol=2**-20)
