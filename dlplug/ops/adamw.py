"""One AdamW step of a list of parameters, in place."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.optim.adamw import adamw as torch_adamw

from dlplug.errors import DtypeError, ShapeError
from dlplug.ops import _backend, _library
from dlplug.ops._adamw_device import DeviceRows, rows_for, update_on_device, update_table
from dlplug.ops._adamw_rows import NAMES, Rows
from dlplug.ops._averages import check_averages
from dlplug.ops._list_op import ListOp
from dlplug.ops.fallback import adamw as reference


def adamw_(
    params: Sequence[Tensor],
    grads: Sequence[Tensor],
    exp_avgs: Sequence[Tensor],
    exp_avg_sqs: Sequence[Tensor],
    max_exp_avg_sqs: Sequence[Tensor],
    steps: Sequence[Tensor],
    *,
    lr: float,
    beta1: float,
    beta2: float,
    eps: float,
    weight_decay: float,
    maximize: bool = False,
    averages: Sequence[Tensor] = (),
    average_weight: float = 0.0,
) -> None:
    """Update parameters and their states by one step of AdamW, without gradient tracking.

    t = t + 1, m = beta1 m + (1 - beta1) g, v = beta2 v + (1 - beta2) g^2, then
    p = (1 - lr weight_decay) p - lr / (1 - beta1^t) m / (sqrt(u / (1 - beta2^t)) + eps)
    with u = v, or for AMSGrad u = max(u, v), and with averages a = a + average_weight (p - a).

    Args:
        params: p, floating point, any shapes; several dtypes may be mixed.
        grads: g, of the parameters' shapes and dtypes; any strides.
        exp_avgs: m, likewise.
        exp_avg_sqs: v, likewise.
        max_exp_avg_sqs: u, likewise; an empty list without AMSGrad.
        steps: t, optimizer steps taken so far; floating point tensors of one element.
        lr: Step size, in the parameters' unit.
        beta1: Decay of m per step, in [0, 1).
        beta2: Decay of v per step, in [0, 1).
        eps: Added to the root, in the gradients' unit.
        weight_decay: Times ``lr`` the fraction of p that is removed per step.
        maximize: Go up the gradient instead of down.
        averages: a, of the parameters over the steps, float32 of the parameters' shapes (float64 of
            float64 ones); none for no averages. They follow the parameters as these are stored.
        average_weight: Of the new p in a, in [0, 1]: 1 less the share of a that is kept.
    Raises:
        ShapeError: Lists of different lengths, or a row with different shapes.
        DtypeError: A tensor that is not floating point or not dense, or a row of different dtypes.
        OpError: A tensor's memory was released.
        BackendError: The backend asked for cannot take the call.
    Numerics: at most twice PyTorch's own rounding error. The compiled kernel computes 16-bit
    tensors in float32, rounds once, and flushes float32 denormals to 0; PyTorch's loop and the
    reference round after every operation. Deterministic for any thread count.
    References: Loshchilov, Hutter 2019, arXiv:1711.05101, algorithm 2.
    """
    lists = (params, grads, exp_avgs, exp_avg_sqs, max_exp_avg_sqs, steps)
    _check(lists)
    check_averages("adamw_", averages, params)
    if not params:
        return
    rows = rows_for(params)(*lists, averages)
    route = OP.route(params[0], rows)
    with torch.no_grad():
        if route == "native":
            numbers = (lr, beta1, beta2, eps, weight_decay)
            is_launch = isinstance(rows, DeviceRows) and not torch.compiler.is_compiling()
            run = update_on_device if is_launch else update
            run(rows, *numbers, maximize, average_weight=average_weight)
            return
        rows.refuse_released()
        if route == "reference" and not torch.compiler.is_compiling():
            reference.adamw_(*lists, lr, beta1, beta2, eps, weight_decay, maximize)
        else:
            fused_lists = rows.lists_for_torch_fused()
            torch_adamw(
                *map(list, fused_lists or lists),
                amsgrad=bool(max_exp_avg_sqs),
                fused=None if fused_lists is None else True,
                lr=lr,
                beta1=beta1,
                beta2=beta2,
                eps=eps,
                weight_decay=weight_decay,
                maximize=maximize,
            )
            if fused_lists is not None:
                count_versions(params)
        reference.move_averages(averages, params, average_weight)


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
        _update_lists(*rows.lists, _in_graph(numbers), maximize)
        return
    numbers = (lr, beta1, beta2, eps, weight_decay, grad_scale, grad_factor, average_weight)
    # Not through Kernel: a table of addresses has no gradient that could be asked for.
    update_tables.op([rows.table(maximize, *numbers)], 0.0)
    count_versions(rows.params)
    if grad_scale != 1.0:
        rows.copy_grads_back()


def _in_graph(numbers: Sequence[float | Tensor]) -> Tensor:
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


def _check(lists: Sequence[Sequence[Tensor]]) -> None:
    """Refuse what no backend accepts, with the same message on all of them."""
    params = lists[0]
    for name, tensors in zip(NAMES, lists, strict=True):
        if len(tensors) != len(params) and (tensors or name != "max_exp_avg_sqs"):
            raise ShapeError(f"adamw_: {len(params)} params, but {len(tensors)} {name}")
        for i, (tensor, param) in enumerate(zip(tensors, params, strict=False)):
            if not tensor.is_floating_point() or tensor.layout is not torch.strided:
                raise DtypeError(
                    f"adamw_: {name}[{i}] must be dense and floating point, "
                    f"got {tensor.dtype}, {tensor.layout}"
                )
            if name == "steps":
                if tensor.numel() != 1:
                    raise ShapeError(
                        f"adamw_: steps[{i}] must have one element, got shape {tuple(tensor.shape)}"
                    )
            elif tensor.shape != param.shape:
                raise ShapeError(
                    f"adamw_: {name}[{i}] has shape {tuple(tensor.shape)}, "
                    f"its parameter {tuple(param.shape)}"
                )
            elif tensor.dtype is not param.dtype:
                raise DtypeError(
                    f"adamw_: {name}[{i}] is {tensor.dtype}, its parameter {param.dtype}"
                )


# The form that torch.compile traces; numbers are lr, beta1, beta2, eps, weight_decay and
# average_weight.
_update_lists = _library.define(
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


OP = _backend.register(
    ListOp(
        function=adamw_,
        arguments=(*NAMES, "averages"),
        kernels=(_update_lists, update_tables),
        refuse=lambda _, rows: rows.refusal(),
        decline=lambda *_: None,
        otherwise="torch",
        gathered=lambda params, *others: rows_for(params)(params, *others),
        device_kernels=(_update_lists, update_table),
    )
)
