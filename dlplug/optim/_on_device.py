"""An optimizer's step on a device: what decides about it stays there."""

from collections.abc import Sequence

import torch
from torch import Tensor

from dlplug.ops import _device_table
from dlplug.ops._adamw_device import (
    DeviceFactors,
    DeviceRows,
    joined,
    norms_on_device,
    update_on_device,
)
from dlplug.ops._device_table import DeviceTable
from dlplug.ops.total_norm import total_norm


class OnDevice:
    """For an optimizer: scale, skipping and clipping without a number that the host must know."""

    max_grad_norm: float | None = None
    _norms: dict[torch.device, Tensor]
    _norm_tables: dict[torch.device, DeviceTable]
    _grad_factor: float
    _average_weight: float

    def _forget_tables(self) -> None:
        self._norms, self._norm_tables = {}, {}

    def _clip_on_device(self, groups: Sequence[DeviceRows]) -> None:
        """Let the update clip, for rows that were just found fit for the kernel."""
        if self.max_grad_norm is not None:
            self._norms = norms_on_device(groups, self._norm_tables)

    def _clip_grads_on_device(self, grads: Sequence[Tensor]) -> None:
        """The same for gradients without rows, all of them plain and on devices."""
        if self.max_grad_norm is None or not grads:
            return
        by_device: dict[torch.device, list[Tensor]] = {}
        for grad in grads:
            by_device.setdefault(grad.device, []).append(grad)
        self._norms = joined({d: total_norm(own).double() for d, own in by_device.items()})

    def _update_on_device(self, group: dict, rows: DeviceRows) -> None:
        self._refuse_graph_capture()
        beta1, beta2 = group["betas"]
        update_on_device(
            rows,
            group["lr"],
            beta1,
            beta2,
            group["eps"],
            group["weight_decay"],
            group["maximize"],
            self._average_weight,
            grad_factor=self._grad_factor,
            factors=self._factors_on(rows.device),
        )

    def _factors_on(self, device: torch.device) -> DeviceFactors:
        return DeviceFactors(
            _scalar_on(device, getattr(self, "grad_scale", None)),
            _scalar_on(device, getattr(self, "found_inf", None)),
            self._norms.get(device),
            self.max_grad_norm or 0.0,
        )


def _scalar_on(device: torch.device, scalar: Tensor | None) -> Tensor | None:
    """As the kernel reads it."""
    return None if scalar is None else scalar.to(device, torch.float32, non_blocking=True)


def takes_capturable(params: Sequence[Tensor]) -> bool:
    """Whether the kernel may take what a CUDA graph is to capture."""
    return bool(params) and _device_table.is_on_device(params[0])


def parts_by_device(lists: tuple[list[Tensor], ...]) -> list[tuple[str, tuple[list[Tensor], ...]]]:
    """The rows of each device, with a name for them: one update takes those of one device.

    Args:
        lists: One list per kind of tensor, parameters first, not empty; others may be empty.
    """
    devices = [param.device for param in lists[0]]
    if len(set(devices)) == 1:
        return [("all", lists)]
    return [
        (str(device), subset(lists, [i for i, own in enumerate(devices) if own == device]))
        for device in dict.fromkeys(devices)
    ]


def groups_of(lists: tuple[list[Tensor], ...]) -> list[tuple[str, tuple[list[Tensor], ...]]]:
    """The same, where the first is on a device; others are looked at when the kernel refuses."""
    return parts_by_device(lists) if _device_table.is_on_device(lists[0][0]) else [("all", lists)]


def subset(lists: tuple[list[Tensor], ...], indices: Sequence[int]) -> tuple[list[Tensor], ...]:
    """Some rows."""
    return tuple([tensors[i] for i in indices if tensors] for tensors in lists)
