"""One AdamW step of a list of parameters, in place."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.optim.adamw import adamw as torch_adamw

from dlplug.errors import DtypeError, ShapeError
from dlplug.ops import _backend
from dlplug.ops._adamw_device import DeviceRows, rows_for, update_on_device, update_table
from dlplug.ops._adamw_kernels import count_versions, update, update_lists, update_tables
from dlplug.ops._adamw_rows import NAMES
from dlplug.ops._averages import check_averages
from dlplug.ops._list_op import ListOp
from dlplug.ops._row_checks import check_shape_and_dtype
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
            else:
                check_shape_and_dtype(f"adamw_: {name}[{i}]", tensor, param)


OP = _backend.register(
    ListOp(
        function=adamw_,
        arguments=(*NAMES, "averages"),
        kernels=(update_lists, update_tables),
        refuse=lambda _, rows: rows.refusal(),
        decline=lambda *_: None,
        otherwise="torch",
        gathered=lambda params, *others: rows_for(params)(params, *others),
        device_kernels=(update_lists, update_table),
    )
)
