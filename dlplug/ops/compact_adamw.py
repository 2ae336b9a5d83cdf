"""One AdamW step of parameters whose states take fewer bytes than float32, in place."""

from collections.abc import Sequence

import torch
from torch import Tensor

from dlplug.ops import _backend, _library
from dlplug.ops._adamw_kernels import count_versions, in_graph
from dlplug.ops._averages import check_averages
from dlplug.ops._compact_checks import (
    check_grads,
    check_layouts,
    check_lengths,
    check_memory,
    check_param,
    check_seed,
    check_states,
    check_storage,
)
from dlplug.ops._compact_device import (
    CompactDeviceRows,
    compact_rows_for,
    update_on_device,
)
from dlplug.ops._compact_device import (
    update_table as update_device_table,
)
from dlplug.ops._compact_rows import CompactRows
from dlplug.ops._device_step import NO_FACTORS, DeviceFactors
from dlplug.ops._list_op import ListOp
from dlplug.ops.fallback import compact_adamw as reference
from dlplug.ops.fallback.adamw import move_averages
from dlplug.ops.fallback.compact_adamw import State, new_state
from dlplug.ops.fallback.philox import draw_seed


def compact_adamw_(
    params: Sequence[Tensor],
    grads: Sequence[Tensor],
    states: Sequence[State],
    *,
    storage: str,
    lr: float,
    beta1: float,
    beta2: float,
    eps: float,
    weight_decay: float,
    maximize: bool = False,
    grad_scale: float = 1.0,
    grad_factor: float = 1.0,
    averages: Sequence[Tensor] = (),
    average_weight: float = 0.0,
    seed: int | None = None,
    rows: CompactRows | None = None,
    factors: DeviceFactors | None = None,
) -> None:
    """Update parameters and their states by one step of AdamW, without gradient tracking.

    The formula is that of :func:`adamw_`, in float32; values are read from their storage, and
    written back to it, once per step:

    * ``float32_states``: m and v in float32 beside a parameter of 16 bits, which still loses
      updates below half a step of its own.
    * ``remainder``: besides, the 16 bits that a bfloat16 parameter lacks of a float32 one: the step
      is that of float32, exactly, and no second copy of the weights is kept.
    * ``stochastic``: bfloat16 parameter and states, rounded up or down by chance so that small
      updates hold on average.
    * ``kahan``: bfloat16 parameter and states, with what rounding the parameter loses in another
      bfloat16.
    * ``8bit``: m and v in 8 bits, by blocks of 256 elements: m = sign(q) (q / 127)^2 s and
      v = (q / 255)^4 s with the block's largest value s. The parameter stays what it is.

    Args:
        params: Floating point, any shapes. Float32 ones under a storage for bfloat16 keep float32
            states.
        grads: Of the parameters' shapes and dtypes; any strides.
        states: Of each parameter, as made by ``compact_state(param, storage)``.
        storage: ``float32_states``, ``remainder``, ``stochastic``, ``kahan`` or ``8bit``.
        lr: Step size, in the parameters' unit.
        beta1: Decay of m per step, in [0, 1).
        beta2: Decay of v per step, in [0, 1).
        eps: Added to the root, in the gradients' unit.
        weight_decay: Times ``lr`` the fraction of p that is removed per step.
        maximize: Go up the gradient instead of down.
        grad_scale: What gradients are divided by first; they keep the quotient.
        grad_factor: What the update multiplies the quotients by, which is not kept.
        averages: a, of the parameters as they are stored: a = a + average_weight (p - a) after the
            update; float32, of the parameters' shapes. None for no averages.
        average_weight: Of the new p in a, in [0, 1].
        seed: Of ``stochastic``'s roundings in this step, in [0, 2^63); another for each step, and
            the same in all replicas of a model, which stay equal. None to draw it from torch's
            generator on the CPU. None for any other storage.
        rows: What an optimizer keeps from step to step; None for a call of its own.
        factors: What else is done to gradients, where it is known on their device alone; the
            kernel there does not wait for it. ``lr`` may be a tensor on that device, too. If it has
            a seed, that one counts, and ``seed`` is what the next step's is larger by.
    Raises:
        InvalidValueError: No such storage, or a seed that is out of range or for another storage.
        DtypeError: A parameter that the storage is not for, a state that is not its, a gradient
            or average of another dtype, or a sparse gradient.
        ShapeError: Lists of different lengths, or a gradient, state or average of another shape.
        OpError: A tensor's memory was released.
        BackendError: The backend asked for cannot take the call.
    Numerics: with ``remainder`` the bits of :func:`adamw_` in float32. Deterministic for any thread
    count.
    References: Loshchilov, Hutter 2019, arXiv:1711.05101, algorithm 2; Dettmers et al. 2022,
    arXiv:2110.02861 (blocks); Kahan 1965; Gupta et al. 2015, arXiv:1502.02551 (rounding by chance).
    """
    check_storage(storage)
    check_seed(seed, storage)
    check_lengths(params, grads=grads, states=states, averages=averages)
    if not params:
        return
    if type(rows) is not compact_rows_for(params):  # none, or those of a model that has moved
        rows = compact_rows_for(params)()
    rows.fill(params, grads, states, storage, averages)
    if rows.are_new:
        check_states(params, states, storage)
        check_averages("compact_adamw_", averages, params)
    check_layouts(grads)
    check_grads(params, grads)
    is_drawn = seed is None and storage == "stochastic"
    drawn = draw_seed() if is_drawn else torch.tensor(seed or 0, dtype=torch.int64, device="cpu")
    numbers = (lr, beta1, beta2, eps, weight_decay)
    if torch.compiler.is_compiling():  # read from a tensor, no number is compiled in
        numbers = in_graph(numbers).unbind()
    is_native = OP.route(params[0], rows) == "native"
    is_on_device = is_native and isinstance(rows, CompactDeviceRows)
    if factors is not None and not is_on_device:
        is_skipped, scale, clip = factors.on_host()
        if is_skipped:
            rows.release()
            return
        grad_scale, grad_factor = grad_scale * scale, grad_factor * clip
        if factors.seed is not None:
            drawn.fill_(factors.take_seed(int(drawn)))
    scales = (grad_scale, grad_factor)
    with torch.no_grad():
        if is_on_device:
            given = factors or NO_FACTORS
            every = (*numbers, *scales, average_weight)
            update_on_device(rows, int(drawn), every, maximize, given)
        elif is_native:
            every = (*map(float, numbers), *scales, average_weight)
            update_tables([rows.table(maximize, *every, seed=int(drawn))], 0.0)
        else:
            check_memory(params, grads, states, averages)
            reference.compact_adamw_(
                params, grads, states, storage, drawn, *map(float, numbers), maximize, *scales
            )
            move_averages(averages, params, average_weight)
        if is_native:
            if grad_scale != 1.0 or (factors is not None and factors.grad_scale is not None):
                rows.copy_grads_back()
            count_versions(params)
    rows.release()


def compact_state(param: Tensor, storage: str) -> dict[str, Tensor]:
    """The states of a parameter before the first step of ``compact_adamw_``.

    Args:
        param: Any shape.
        storage: As there.
    Returns:
        Tensors by name, on the parameter's device.
    Raises:
        InvalidValueError: No such storage.
        DtypeError: The storage is not for the parameter's dtype.
    """
    check_storage(storage)
    check_param(param, storage, "param")
    return new_state(param, storage)


update_tables = _library.define_by_address(
    "compact_adamw_tables_(Tensor[] tables, float max_norm) -> ()",
    instead="compact_adamw_",
)


def _rows_of(params, *lists) -> CompactRows:
    rows = compact_rows_for(params)()
    rows.fill(params, *lists)
    return rows


OP = _backend.register(
    ListOp(
        function=compact_adamw_,
        arguments=("params", "grads", "states", "storage", "averages"),
        kernels=(update_tables,),
        refuse=lambda _, rows: rows.refusal(),
        decline=lambda *_: None,
        otherwise="reference",
        gathered=_rows_of,
        device_kernels=(update_device_table,),
    )
)
