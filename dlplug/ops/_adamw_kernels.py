"""AdamW's kernel in two forms: a call with a table of addresses, and an op of a traced graph.

A call on a device is a third, in ``_adamw_device.py``.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from dlplug.ops import _library
from dlplug.ops._adamw_rows import Rows
from dlplug.ops.fallback import adamw as reference


def count_versions(params: Sequence[Tensor]) -> None:
    """Let autograd notice that what it saved of parameters is no longer there.

    For code that leaves version counters as they were: the kernel, and PyTorch's fused one.
    """
    torch.autograd.graph.increment_version(params)


def update(
    rows: Rows,
    lr: float | Tensor,
    beta1: float | Tensor,
    beta2: float | Tensor,
    eps: float,
    weight_decay: float,
    maximize: bool,
    grad_scale: float = 1.0,
    grad_factor: float = 1.0,
    average_weight: float = 0.0,
) -> None:
    """Run the kernel on rows that were just found fit for it; the arguments of ``adamw_``.

    Rows of the CPU, or of any device while a graph is traced, where this is one op of it.
    Gradients are divided by ``grad_scale`` first, and keep the quotient; the step is that of
    ``grad_factor`` times the quotient, which is not kept.
    """
    if torch.compiler.is_compiling():
        numbers = (lr, beta1, beta2, eps, weight_decay, average_weight)
        update_lists(*rows.lists, in_graph(numbers), maximize)
        return
    numbers = (lr, beta1, beta2, eps, weight_decay, grad_scale, grad_factor, average_weight)
    # Not through Kernel, which looks for gradients: a table of addresses has none.
    update_tables.op([rows.table(maximize, *numbers)], 0.0)
    count_versions(rows.params)
    if grad_scale != 1.0:
        rows.copy_grads_back()


def in_graph(numbers: Sequence[float | Tensor]) -> Tensor:
    """One float64 tensor, on the CPU, or where one of them lies.

    As arguments of the op, numbers that change (a schedule) would be compiled in again each time;
    as factors of a tensor they become inputs of the graph.
    """
    devices = [n.device for n in numbers if isinstance(n, Tensor) and not n.is_cpu]
    one = torch.ones((), dtype=torch.float64, device=devices[0] if devices else "cpu")
    return torch.stack([(one * number).reshape(()) for number in numbers])


def _reference_of_lists(*args) -> None:
    *lists, averages, numbers, maximize = args
    *numbers, average_weight = numbers.tolist()
    reference.adamw_(*lists, *numbers, maximize, averages, average_weight)


# The form that torch.compile traces; numbers are lr, beta1, beta2, eps, weight_decay and
# average_weight.
update_lists = _library.define(
    "adamw_(Tensor(a!)[] params, Tensor[] grads, Tensor(b!)[] exp_avgs, "
    "Tensor(c!)[] exp_avg_sqs, Tensor(d!)[] max_exp_avg_sqs, Tensor(e!)[] steps, "
    "Tensor(f!)[] averages, Tensor numbers, bool maximize) -> ()",
    fallback=_reference_of_lists,
    fake=lambda *_: None,
    # The numbers may lie on the host, from where a CUDA graph would repeat the first step's.
    tags=(torch.Tag.cudagraph_unsafe,),
)
# The form of the eager step: for 152 parameters, looking at each tensor and passing the addresses
# takes 0.6 of the time of boxing the lists.
update_tables = _library.define_by_address(
    "adamw_tables_(Tensor[] tables, float max_norm) -> ()",
    instead="adamw_",
)
