"""AdamW with compact states in plain PyTorch: what each storage keeps, and the step of all of them.

| storage | parameter | states m and v | besides | bytes an element |
|---|---|---|---|---|
| ``float32_states`` | any | float32 | | 8 + parameter |
| ``remainder`` | bfloat16 | float32 | what the bfloat16 lacks of a float32, int16 | 12 |
| ``stochastic`` | bfloat16 | bfloat16, all three rounded stochastically | | 6 |
| ``kahan`` | bfloat16 | bfloat16 | what rounding has lost, bfloat16 | 8 |
| ``8bit`` | any | 8 bits | two float32 for each 256 elements | 2 + parameter |

A step reads the values in float32, is that of AdamW, and writes them. Float32 parameters under a
storage for bfloat16 keep float32 states.
"""

from collections.abc import Mapping, MutableMapping, Sequence

import torch
from torch import Tensor

from dlplug.ops._memory_layout import is_dense, is_laid_out_as
from dlplug.ops.fallback.adamw import adamw_
from dlplug.ops.fallback.philox import random_bits

# In the order of the numbers in csrc/cpu/kernels/compact_adamw.h.
STORAGES = ("float32_states", "remainder", "stochastic", "kahan", "8bit")
OF_BFLOAT16 = ("remainder", "stochastic", "kahan")
BLOCK = 256  # elements, in the order of memory, that share the scales of the 8-bit states
STEPS_M, STEPS_V = 127, 255

State = MutableMapping[str, Tensor]


def storage_for(param: Tensor, storage: str) -> str:
    """The storage that a parameter really has: float32 ones need none of those for bfloat16."""
    is_float32 = param.dtype is torch.float32
    return "float32_states" if is_float32 and storage in OF_BFLOAT16 else storage


def state_layout(param: Tensor, storage: str) -> dict[str, tuple[torch.dtype, tuple[int, ...]]]:
    """Names, dtypes and shapes of a parameter's states.

    ``step``, the number of those taken; ``exp_avg`` and ``exp_avg_sq`` like the parameter; with
    ``remainder`` or ``compensation`` like it, or ``exp_avg_scale`` and ``exp_avg_sq_scale`` of
    shape ``(blocks,)``.
    """
    storage, shape = storage_for(param, storage), tuple(param.shape)
    wide = torch.bfloat16 if storage in ("stochastic", "kahan") else torch.float32
    step = {"step": (torch.float32, ())}
    layout = {"exp_avg": (wide, shape), "exp_avg_sq": (wide, shape)}
    if storage == "remainder":
        layout["remainder"] = (torch.int16, shape)
    elif storage == "kahan":
        layout["compensation"] = (torch.bfloat16, shape)
    elif storage == "8bit":
        scales = torch.float32, ((param.numel() + BLOCK - 1) // BLOCK,)
        layout = {"exp_avg": (torch.int8, shape), "exp_avg_sq": (torch.uint8, shape)}
        layout |= {"exp_avg_scale": scales, "exp_avg_sq_scale": scales}
    return step | layout


def new_state(param: Tensor, storage: str) -> dict[str, Tensor]:
    """The states before the first step: zeros, which lie in memory as the parameter does.

    Args:
        param: Any shape.
        storage: One of ``STORAGES``.
    """
    state = {}
    for name, (dtype, shape) in state_layout(param, storage).items():
        if name == "step":  # on the CPU, where it costs no waiting to read it
            state[name] = torch.zeros((), dtype=dtype, device="cpu")
        elif name.endswith("_scale"):
            state[name] = torch.zeros(shape, dtype=dtype, device=param.device)
        else:
            state[name] = torch.zeros_like(param, dtype=dtype)
    return state


def read(param: Tensor, state: Mapping[str, Tensor], storage: str) -> tuple[Tensor, ...]:
    """Parameter, m and v in float32, ``(numel,)`` each, in the order of memory."""
    storage = storage_for(param, storage)
    theta, m, v = (_flat(t) for t in (param, state["exp_avg"], state["exp_avg_sq"]))
    if storage == "remainder":
        high = theta.view(torch.int16).int() << 16
        theta = (high + _flat(state["remainder"]).int()).view(torch.float32)
    elif storage == "kahan":
        theta = theta.float() + _flat(state["compensation"]).float()
    elif storage == "8bit":
        m, v = m.float() / STEPS_M, v.float() / STEPS_V
        m = m * m.abs() * _spread(state["exp_avg_scale"], m)
        v = v**4 * _spread(state["exp_avg_sq_scale"], v)
    return tuple(value.float().clone() for value in (theta, m, v))


def write(
    param: Tensor,
    state: State,
    storage: str,
    values: Sequence[Tensor],
    bits: Tensor | None = None,
) -> None:
    """Store what `read` gives.

    Args:
        param: Changed in place, as all of ``state``.
        state: From `new_state`.
        storage: One of ``STORAGES``.
        values: Parameter, m and v, float32.
        bits: A uniform 32-bit number for each element, as int64; of ``stochastic`` only, which
            rounds to the nearest without them. Half of it is for the parameter, half for both
            states, each of which needs but be rounded without bias.
    """
    storage = storage_for(param, storage)
    theta, m, v = values
    if storage == "stochastic" and bits is not None:
        theta = _rounded(theta, bits & 0xFFFF)
        m, v = _rounded(m, bits >> 16), _rounded(v, bits >> 16)
    if storage == "8bit":
        state["exp_avg_scale"].copy_(_largest(m.abs()))
        state["exp_avg_sq_scale"].copy_(_largest(v))
        m_share = m.abs() / _spread(state["exp_avg_scale"], m).clamp(min=2**-126)
        v_share = v / _spread(state["exp_avg_sq_scale"], v).clamp(min=2**-126)
        m = (m_share.sqrt() * STEPS_M).round().copysign(m)
        v = (v_share.sqrt().sqrt() * STEPS_V).round()
    if storage == "remainder":
        bits_of_theta = theta.view(torch.int32).long() & 0xFFFFFFFF
        high = bits_of_theta + 0x8000 >> 16
        _flat(state["remainder"]).copy_(bits_of_theta - (high << 16))
        _flat(param).view(torch.int16).copy_(_signed(high))
    else:
        _flat(param).copy_(theta)
    if storage == "kahan":
        _flat(state["compensation"]).copy_(theta - _flat(param).float())
    _flat(state["exp_avg"]).copy_(m)
    _flat(state["exp_avg_sq"]).copy_(v)


def compact_adamw_(
    params: Sequence[Tensor],
    grads: Sequence[Tensor],
    states: Sequence[State],
    storage: str,
    seed: Tensor,
    lr: float,
    beta1: float,
    beta2: float,
    eps: float,
    weight_decay: float,
    maximize: bool = False,
    grad_scale: float = 1.0,
    grad_factor: float = 1.0,
) -> None:
    """One step of each parameter; arguments as in :func:`dlplug.ops.compact_adamw_`."""
    for index, (param, grad, state) in enumerate(zip(params, grads, states, strict=True)):
        dense, own = side_by_side(param, state)
        theta, m, v = read(dense, own, storage)
        if grad_scale != 1.0:
            grad.div_(grad_scale)
        grad = _flat(torch.empty_like(dense, dtype=torch.float32).copy_(grad)) * grad_factor
        numbers = (lr, beta1, beta2, eps, weight_decay)
        adamw_([theta], [grad], [m], [v], [], [state["step"]], *numbers, maximize)
        bits = None
        if storage_for(param, storage) == "stochastic":
            bits = random_bits(seed, 1, param.numel(), first_row=index)[0].to(param.device)
        write(dense, own, storage, (theta, m, v), bits)
        for tensor, written in zip((param, *state.values()), (dense, *own.values()), strict=True):
            if written is not tensor:
                tensor.copy_(written)


def side_by_side(param: Tensor, state: State) -> tuple[Tensor, State]:
    """Themselves where element by element they lie alike and without gaps, else copies that do.

    The copies lie in the order of the states, since blocks that share scales follow it.
    """
    like_it = {name: t for name, t in state.items() if t.shape == param.shape and name != "step"}
    if is_dense(param) and all(is_laid_out_as(tensor, param) for tensor in like_it.values()):
        return param, state
    dense = torch.empty_like(state["exp_avg"], dtype=param.dtype).copy_(param)
    copies = {name: torch.empty_like(dense, dtype=t.dtype).copy_(t) for name, t in like_it.items()}
    return dense, {**state, **copies}


def _flat(tensor: Tensor) -> Tensor:
    """The elements of a dense tensor in the order of memory, ``(numel,)``."""
    return tensor.as_strided((tensor.numel(),), (1,))


def _spread(scales: Tensor, like: Tensor) -> Tensor:
    """The scale of each element."""
    return scales.repeat_interleave(BLOCK)[: like.numel()]


def _largest(values: Tensor) -> Tensor:
    """The largest of each block."""
    padded = torch.nn.functional.pad(values, (0, -values.numel() % BLOCK))
    return padded.view(-1, BLOCK).amax(dim=1)


def _rounded(value: Tensor, random: Tensor) -> Tensor:
    """A float32 that is a bfloat16: up with the probability of its distance from the one below."""
    bits = value.view(torch.int32).long() & 0xFFFFFFFF
    up = (bits + random) & 0xFFFF0000
    rounded = torch.where(up >= 2**31, up - 2**32, up).int().view(torch.float32)
    return torch.where(value.isfinite(), rounded, value)


def _signed(words: Tensor) -> Tensor:
    """Numbers in [0, 2^16) as the int16 of the same bits."""
    return torch.where(words >= 2**15, words - 2**16, words)
