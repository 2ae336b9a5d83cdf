"""The norm of all gradients of a step that lie on devices, or on several processes."""

from array import array
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from dlplug.ops._adamw_device import DeviceRows
from dlplug.ops._adamw_rows import Rows
from dlplug.ops._device_table import DeviceTable
from dlplug.ops._memory_layout import PLAIN_TYPES
from dlplug.ops.total_norm import norm_of_columns, norm_on_device, total_norm_by

ProcessGroups = tuple["torch.distributed.ProcessGroup", ...]
"""Process groups that each have parts of a tensor: one for each axis of its mesh that splits it."""
Tables = dict[tuple[torch.device, ProcessGroups], DeviceTable]


def groups_with_parts(tensor: Tensor) -> ProcessGroups | None:
    """The process groups over which a tensor is split; none if each process has all of it.

    None where processes have summands of its elements, whose squares do not add up to its own.
    """
    if type(tensor) in PLAIN_TYPES or not hasattr(tensor, "placements"):
        return ()
    if any([placement.is_partial() for placement in tensor.placements]):
        return None
    axes = [i for i, placement in enumerate(tensor.placements) if not placement.is_replicate()]
    return tuple([tensor.device_mesh.get_group(axis) for axis in axes])


def norms_of_rows(
    parts: Sequence[tuple[Rows, Sequence[Tensor]]], tables: Tables
) -> dict[torch.device, Tensor]:
    """The Euclidean norm of all gradients of all rows, float64, on each of their devices.

    One launch for the gradients of a device that are split alike. The host waits only where rows of
    the CPU are among them.

    Args:
        parts: Rows that were just found fit for the kernel, and the parameters, whole or
            distributed, whose parts they are.
        tables: Kept from step to step.
    """
    columns: dict[tuple[type, torch.device, ProcessGroups], list[tuple]] = {}
    for rows, params in parts:
        of_all, groups = rows.grad_columns(), [groups_with_parts(param) for param in params]
        for key in dict.fromkeys(groups):
            own = of_all if len(set(groups)) == 1 else _chosen(of_all, groups, key)
            columns.setdefault((type(rows), rows.params[0].device, key), []).append(own)
    norms = []
    for (kind, device, groups), own in columns.items():
        if kind is DeviceRows:
            table = tables.setdefault((device, groups), DeviceTable())
            norm = norm_on_device(own, table, device)
        else:
            norm = torch.tensor(norm_of_columns(own), dtype=torch.float64, device="cpu")
        norms.append((device, _of_all_parts(norm, groups)))
    return _joined(norms)


def norms_of_tensors(
    grads: Iterable[tuple[Tensor, ProcessGroups]], tables: Tables
) -> dict[torch.device, Tensor]:
    """The same of gradients without rows: plain ones with the groups of what they are parts of.

    Args:
        grads: Each with its groups.
        tables: Kept from step to step.
    """
    parts: dict[tuple[torch.device, ProcessGroups], list[Tensor]] = {}
    for grad, groups in grads:
        parts.setdefault((grad.device, groups), []).append(grad)
    norms = []
    for key, own in parts.items():
        norm = total_norm_by(tables.setdefault(key, DeviceTable()), own).double()
        norms.append((key[0], _of_all_parts(norm, key[1])))
    return _joined(norms)


def _chosen(columns: tuple, groups: Sequence[ProcessGroups], key: ProcessGroups) -> tuple:
    """The columns' numbers for the rows that have these groups."""
    chosen = [i for i, own in enumerate(groups) if own == key]
    return tuple([array("q", [column[i] for i in chosen]) for column in columns])


def _of_all_parts(norm: Tensor, groups: ProcessGroups) -> Tensor:
    """The norm of what all processes of the groups have, from the norm of this process's part."""
    if not groups:
        return norm
    square = norm.square()
    for group in groups:
        torch.distributed.all_reduce(square, group=group)
    return square.sqrt()


def _joined(norms: Sequence[tuple[torch.device, Tensor]]) -> dict[torch.device, Tensor]:
    """The norm of all tensors together, from norms of some of them; on the device of each."""
    if len(norms) <= 1:
        return dict(norms)
    devices = dict.fromkeys([device for device, _ in norms])
    # A copy to a GPU does not make the host wait, one from a GPU to the CPU does.
    first = next((device for device in devices if device.type != "cpu"), norms[0][0])
    parts = torch.stack([norm.to(first, non_blocking=True) for _, norm in norms])
    norm = torch.linalg.vector_norm(parts)
    return {device: norm.to(device, non_blocking=device.type != "cpu") for device in devices}
