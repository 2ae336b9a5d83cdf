"""What no backend of compact AdamW accepts, refused with the same message on all of them."""

from collections.abc import Sequence

import torch
from torch import Tensor

from dlplug.errors import DtypeError, InvalidValueError, ShapeError, suggestion
from dlplug.ops._released import refuse_released
from dlplug.ops._row_checks import check_shape_and_dtype
from dlplug.ops.fallback.compact_adamw import OF_BFLOAT16, STORAGES, State, state_layout


def check_storage(storage: str) -> None:
    """It is one of those there are.

    Raises:
        InvalidValueError: It is not.
    """
    if storage not in STORAGES:
        raise InvalidValueError(
            f"compact AdamW has no storage {storage!r}",
            known=", ".join(STORAGES),
            fix=suggestion(str(storage), STORAGES),
        )


def check_lengths(params: Sequence[Tensor], **lists: Sequence) -> None:
    """Each list has one entry for each parameter; ``averages`` may have none.

    Raises:
        ShapeError: It has not.
    """
    for name, entries in lists.items():
        if len(entries) != len(params) and (entries or name != "averages"):
            raise ShapeError(f"compact_adamw_: {len(params)} params, but {len(entries)} {name}")


def check_seed(seed: int | None, storage: str) -> None:
    """It is a seed of random bits, which only ``stochastic`` draws; or None.

    Raises:
        InvalidValueError: It is out of range, or for another storage.
    """
    if seed is None:
        return
    if storage != "stochastic":
        raise InvalidValueError(
            f"compact_adamw_: seed = {seed}, but the storage {storage!r} draws no numbers",
            fix="leave seed out, or take the storage stochastic",
        )
    if not 0 <= seed < 2**63:
        raise InvalidValueError(f"compact_adamw_: seed = {seed} is not in [0, 2^63)")


def check_param(param: Tensor, storage: str, name: str) -> None:
    """The storage is for its dtype.

    Raises:
        DtypeError: It is not.
    """
    allowed = {torch.bfloat16, torch.float32}
    if storage not in OF_BFLOAT16:
        allowed.add(torch.float16)
    if param.dtype not in allowed:
        raise DtypeError(
            f"compact_adamw_: {name} is {param.dtype}, the storage {storage!r} is for"
            f" {', '.join(sorted(str(dtype).removeprefix('torch.') for dtype in allowed))}"
        )


def check_states(params: Sequence[Tensor], states: Sequence[State], storage: str) -> None:
    """Parameters are such as the storage is for, and their states are its own.

    Raises:
        DtypeError: A parameter or a state of another dtype, or a state that is missing.
        ShapeError: A state of another shape.
    """
    for i, (param, state) in enumerate(zip(params, states, strict=True)):
        check_param(param, storage, f"params[{i}]")
        expected = state_layout(param, storage)
        given = {name: (t.dtype, tuple(t.shape)) for name, t in state.items()}
        if given == expected:
            continue
        dtypes, theirs = (
            {name: facts[0] for name, facts in layout.items()} for layout in (expected, given)
        )
        raise (ShapeError if dtypes == theirs else DtypeError)(
            f"compact_adamw_: states[{i}] is no state of the storage {storage!r}"
            + (f" for shape {tuple(param.shape)}" if dtypes == theirs else ""),
            known=", ".join(f"{name} {facts[0]} {facts[1]}" for name, facts in expected.items()),
            fix="make it with compact_state(param, storage)",
        )


def check_layouts(grads: Sequence[Tensor]) -> None:
    """Every gradient has an element for each one of its parameter.

    Raises:
        DtypeError: One is sparse.
    """
    for i, grad in enumerate(grads):
        if grad.layout is not torch.strided:
            raise DtypeError(
                f"compact_adamw_: grads[{i}] is {grad.layout}, and every element takes a step",
                fix="make it dense, as nn.Embedding(sparse=False) does",
            )


def check_grads(params: Sequence[Tensor], grads: Sequence[Tensor]) -> None:
    """They are like their parameters.

    Raises:
        ShapeError: One has another shape.
        DtypeError: One has another dtype.
    """
    for i, (param, grad) in enumerate(zip(params, grads, strict=True)):
        check_shape_and_dtype(f"compact_adamw_: grads[{i}]", grad, param)


def check_memory(
    params: Sequence[Tensor],
    grads: Sequence[Tensor],
    states: Sequence[State],
    averages: Sequence[Tensor],
) -> None:
    """Every tensor has the memory that other code than the kernel would read.

    Raises:
        OpError: The memory of one was released.
    """
    for name, tensors in (("params", params), ("grads", grads), ("averages", averages)):
        refuse_released("compact_adamw_", name, tensors)
    for name in dict.fromkeys(key for state in states for key in state):
        own = [state[name] for state in states if name in state]
        refuse_released("compact_adamw_", name, own)
