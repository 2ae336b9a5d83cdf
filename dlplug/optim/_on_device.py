"""An optimizer's step on a device: what decides about it stays there."""

from collections.abc import Sequence

import torch
from torch import Tensor

from dlplug.ops import _device_table
from dlplug.ops._adamw_device import DeviceRows, update_on_device
from dlplug.ops._adamw_rows import Rows
from dlplug.ops._clipping import clip_factor
from dlplug.ops._device_step import DeviceFactors
from dlplug.optim._gradient_norm import (
    Tables,
    groups_with_parts,
    norms_of_rows,
    norms_of_tensors,
)
from dlplug.optim._group_options import numbers_of
from dlplug.optim._local_tensors import local


class OnDevice:
    """For an optimizer: scale, skipping and clipping without a number that the host must know."""

    max_grad_norm: float | None = None
    _norms: dict[torch.device, Tensor]
    _norm_tables: Tables
    _grad_factor: float
    _average_weight: float
    _is_captured: bool

    def _clip_everywhere(self, parts: Sequence[tuple[Rows, Sequence[Tensor]]]) -> float:
        """Let the update clip, for rows that were just found fit for the kernel of their device.

        Args:
            parts: Rows with the parameters that they are of, which may be distributed.
        Returns:
            What the update is to multiply gradients on the CPU by; on devices the kernel finds it.
        """
        if self.max_grad_norm is None:
            return 1.0
        self._norms = norms_of_rows(parts, self._norm_tables)
        on_cpu = [rows for rows, _ in parts if not isinstance(rows, DeviceRows)]
        if not on_cpu or self._is_skipped():
            return 1.0
        norm = self._norms[on_cpu[0].params[0].device].item()
        return clip_factor(norm, self.max_grad_norm * self._scale())

    def _clip_grads_on_device(self, params: Sequence[Tensor]) -> bool:
        """The same for gradients without rows, all of them on devices; whether it could."""
        groups = [groups_with_parts(param.grad) for param in params]
        if None in groups:
            return False
        if self.max_grad_norm is not None and params:
            grads = [local(param.grad) for param in params]
            self._norms = norms_of_tensors(zip(grads, groups, strict=True), self._norm_tables)
        return True

    def _note_capture(self, device: torch.device) -> None:
        """A CUDA graph that captures this step has the addresses of states from now on."""
        self._is_captured = self._is_captured or _device_table.is_capturing(device)

    def _update_on_device(self, group: dict, rows: DeviceRows) -> None:
        self._refuse_graph_capture()
        self._note_capture(rows.device)
        update_on_device(
            rows,
            *numbers_of(group),
            group["maximize"],
            self._average_weight,
            grad_factor=1.0 if rows.device in self._norms else self._grad_factor,
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
    """A scalar as the kernel reads it: float32 on its device; None for none."""
    return None if scalar is None else scalar.to(device, torch.float32, non_blocking=True)


def takes_capturable(params: Sequence[Tensor]) -> bool:
    """Whether the kernel may take what a CUDA graph is to capture."""
    return bool(params) and _device_table.is_on_device(params[0])


def params_by_device(params: list[Tensor]) -> list[tuple[int, list[Tensor]]]:
    """The parameters of each device, and how many those of the devices before are."""
    if params and not _device_table.is_on_device(params[0]):
        return [(0, params)]
    parts, first = [], 0
    for device in dict.fromkeys([param.device for param in params]):
        own = [param for param in params if param.device == device]
        parts.append((first, own))
        first += len(own)
    return parts


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


def parts_for_kernel(lists: tuple[list[Tensor], ...]) -> list[tuple[str, tuple[list[Tensor], ...]]]:
    """The same where the first row is on a device, else one part.

    Where others of that part are on a device, the kernel refuses it, and then it is divided.
    """
    return parts_by_device(lists) if _device_table.is_on_device(lists[0][0]) else [("all", lists)]


def subset(lists: tuple[list[Tensor], ...], indices: Sequence[int]) -> tuple[list[Tensor], ...]:
    """The lists with some of their rows alone."""
    return tuple([tensors[i] for i in indices if tensors] for tensors in lists)
