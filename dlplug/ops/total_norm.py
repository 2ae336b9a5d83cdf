"""The norm of several tensors together, as clipping by norm needs it."""

from array import array
from collections.abc import Sequence

import torch
from torch import Tensor

from dlplug.errors import BackendError, DtypeError
from dlplug.ops import _backend, _device_table, _library
from dlplug.ops._device_table import DeviceTable
from dlplug.ops._list_op import ListOp
from dlplug.ops._memory_layout import DTYPE_CODES, PLAIN_TYPES, addresses_of, is_dense
from dlplug.ops._released import have_memory, refuse_released
from dlplug.ops.fallback import total_norm as reference

COUNTER = array("q", [0])  # with which the table of a device begins


def total_norm(tensors: Sequence[Tensor]) -> Tensor:
    """Euclidean norm of all elements of several tensors; not finite if any element is not.

    Args:
        tensors: Floating point, any shapes and strides; several dtypes may be mixed.
    Returns:
        Tensor of shape ``()``: float32, or float64 if one of ``tensors`` is; on the device of the
        first. It is 0 for no tensors.
    Raises:
        DtypeError: A tensor is not floating point or not dense.
        OpError: A tensor's memory was released.
        BackendError: The backend asked for cannot take the call.
    Numerics: the compiled kernel squares and adds in float64, so that it neither overflows nor
    loses small elements; elsewhere PyTorch's, whose squares overflow above 1e19. Deterministic for
    any thread count.
    """
    return total_norm_by(DeviceTable(), tensors)


def total_norm_by(kept: DeviceTable, tensors: Sequence[Tensor]) -> Tensor:
    """The same for those who ask step by step.

    Args:
        kept: From step to step, where the tensors are on a device.
        tensors: As for `total_norm`.
    """
    if not tensors:
        return torch.zeros((), dtype=torch.float32, device="cpu")
    try:
        route = OP.route(tensors[0], tensors)
    except BackendError:
        _check(tensors)  # what no backend takes has the same error on all of them
        raise
    if route == "native":
        with torch.no_grad():
            return _norm(_table(kept, tensors)).to(torch.float32)
    _check(tensors)
    return reference.total_norm(tensors)


def _check(tensors: Sequence[Tensor]) -> None:
    """Refuse what no backend accepts; the kernel's own rules are narrower."""
    for i, tensor in enumerate(tensors):
        if not tensor.is_floating_point() or tensor.layout is not torch.strided:
            raise DtypeError(
                f"total_norm: tensors[{i}] must be dense and floating point, got {tensor.dtype},"
                f" {tensor.layout}"
            )
    refuse_released("total_norm", "tensors", tensors)


def norm_of_columns(tables: Sequence[tuple[array, array, array]]) -> float:
    """The same of tensors given as int64 addresses, numbers of elements and codes of dtypes.

    Those who give them have checked what lies there.
    """
    if not tables:
        return 0.0
    return norm_by_table(torch.frombuffer(norm_numbers(tables), dtype=torch.int64)).item()


def norm_by_table(table: Tensor) -> Tensor:
    """The same, float64, of what csrc/ops/total_norm.h describes, on the device of the table."""
    # Not through Kernel, which looks for gradients: a table of addresses has none.
    return _norm.op(table)


def norm_on_device(
    tables: Sequence[tuple[array, array, array]], kept: DeviceTable, device: torch.device
) -> Tensor:
    """The same of tensors on a device, float64 and there, in one launch.

    Args:
        tables: Of at least one.
        kept: From step to step.
        device: Where they lie.
    """
    return norm_by_table(kept.holding(COUNTER + norm_numbers(tables), device))


def norm_numbers(tables: Sequence[tuple[array, array, array]]) -> array:
    """The kernel's table for such columns, at least those of one."""
    addresses, numels, dtypes = map(_joined, zip(*tables, strict=True))
    return addresses + numels + dtypes


def _joined(columns: Sequence[array]) -> array:
    return sum(columns[1:], columns[0])


def _refuse(first: Tensor, tensors: Sequence[Tensor]) -> str | None:
    """Why the kernel, which walks over memory, cannot take these tensors."""
    if torch.compiler.is_compiling():
        return "a tracer knows no addresses"
    if not set(map(type, tensors)) <= PLAIN_TYPES:
        return "a tensor is of a subclass"
    # Devices are compared where there can be several of a kind: making the objects takes time.
    if not (
        all([tensor.is_cpu for tensor in tensors])
        if first.is_cpu
        else all([tensor.device == first.device for tensor in tensors])
    ):
        return f"a tensor is not on {first.device}"
    if not DTYPE_CODES.keys() >= {tensor.dtype for tensor in tensors}:
        return "a tensor is not float32, bfloat16 or float16"
    if not all([tensor.is_contiguous() or is_dense(tensor) for tensor in tensors]):
        return "a tensor's strides leave gaps or overlap"
    if not have_memory(tensors, addresses_of(tensors)):
        return "a tensor's memory was released"
    if torch.is_grad_enabled() and any([tensor.requires_grad for tensor in tensors]):
        return "a gradient may be asked for, which only PyTorch's ops give"
    return None


def _table(kept: DeviceTable, tensors: Sequence[Tensor]) -> Tensor:
    addresses = addresses_of(tensors)
    numels = [tensor.numel() for tensor in tensors]
    dtypes = [DTYPE_CODES[tensor.dtype] for tensor in tensors]
    numbers = array("q", addresses + numels + dtypes)
    if _device_table.is_on_device(tensors[0]):
        return kept.holding(COUNTER + numbers, tensors[0].device)
    return torch.frombuffer(numbers, dtype=torch.int64)


_norm = _library.define_by_address("total_norm_table(Tensor table) -> Tensor", instead="total_norm")


OP = _backend.register(
    ListOp(
        function=total_norm,
        arguments=("tensors",),
        kernels=(_norm,),
        refuse=_refuse,
        decline=lambda *_: None,
        otherwise="reference",
        gathered=lambda tensors: tensors,
    )
)
