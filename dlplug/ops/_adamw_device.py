"""AdamW's rows on a device: the table that its kernel is given, and the step."""

from array import array
from collections.abc import Sequence
from itertools import accumulate

import torch
from torch import Tensor

from dlplug.ops import _device_table, _library
from dlplug.ops._adamw_kernels import count_versions
from dlplug.ops._adamw_row import Row
from dlplug.ops._adamw_rows import Rows
from dlplug.ops._device_step import CHUNK, NO_FACTORS, DeviceFactors, pack
from dlplug.ops._device_table import DeviceTable
from dlplug.ops._memory_layout import DTYPE_CODES, addresses_of

update_table = _library.define_by_address(
    "adamw_device_table_(Tensor table, Tensor numbers, Tensor steps) -> ()", instead="adamw_"
)


class DeviceRows(Rows):
    """The tensors of one update on a device; their steps all there, or all on the CPU."""

    def __init__(self, *lists: Sequence[Tensor]):
        self._device_table = DeviceTable()
        super().__init__(*lists)

    def lists_for_torch_fused(self) -> None:
        """Nothing: PyTorch's fused kernel reads steps on the device, these may lie elsewhere."""
        return None

    @property
    def device(self) -> torch.device:
        return self.params[0].device

    @property
    def have_device_steps(self) -> bool:
        return _device_table.is_on_device(self.steps[0])

    def device_table(self) -> Tensor:
        """What csrc/ops/adamw.h describes for a GPU; only right after ``refusal`` gave None."""
        numbers = self._columns + array("q", self._grad_addresses)
        return self._device_table.holding(numbers, self.device)

    def host_steps(self) -> Tensor:
        """Addresses of the steps that lie on the CPU."""
        return self._host_steps

    @property
    def num_chunks(self) -> int:
        return self._num_chunks

    def _rows(self) -> list[Row]:
        rows = super()._rows()
        for row in rows:
            row.device, row.has_device_step = self.device, self.have_device_steps
        return rows

    def _are_beside(self, grads: Sequence[Tensor]) -> bool:
        device = self.device
        return all([grad.device == device for grad in grads])

    def _make_table(self, columns: array) -> None:
        self._fixed = columns
        m, v, u = self.states
        none = [0] * len(self.params)
        own = [addresses_of(tensors) or none for tensors in (self.params, m, v, u)]
        own += [none, none, addresses_of(self.averages) or none]
        steps = addresses_of(self.steps)
        own.append(steps if self.have_device_steps else none)
        self._host_steps = as_tensor([] if self.have_device_steps else steps)
        first_chunks, self._num_chunks = chunks_of(self._numels)
        own += [self._numels, [DTYPE_CODES[dtype] for dtype in self._dtypes]]
        own += [none, first_chunks]
        self._columns = table_of(own)


def rows_for(tensors: Sequence[Tensor]) -> type[Rows]:
    """What gathers these for the kernel of their device."""
    return DeviceRows if tensors and _device_table.is_on_device(tensors[0]) else Rows


def table_of(columns: Sequence[Sequence[int]]) -> array:
    """A counter, and the columns one after the other."""
    numbers = array("q", [0])
    for column in columns:
        numbers.extend(column)
    return numbers


def chunks_of(numels: Sequence[int]) -> tuple[list[int], int]:
    """The number of the first chunk of each tensor, and how many there are."""
    *firsts, total = accumulate(((n + CHUNK - 1) // CHUNK for n in numels), initial=0)
    return firsts, total


def update_on_device(
    rows: DeviceRows,
    lr: float | Tensor,
    beta1: float,
    beta2: float,
    eps: float,
    weight_decay: float,
    maximize: bool,
    average_weight: float = 0.0,
    *,
    grad_factor: float = 1.0,
    factors: DeviceFactors = NO_FACTORS,
) -> None:
    """Launch the kernel on rows that were just found fit for it; waits for nothing.

    Args:
        rows: What is updated.
        lr: A number, or a tensor on the device.
        beta1, beta2, eps, weight_decay, maximize, average_weight: As of ``adamw_``.
        grad_factor: What the update multiplies gradients by, which is not kept.
        factors: Beside it.
    Raises:
        BackendError, InvalidValueError: As of `pack`.
    """
    numbers, kept = pack(
        "adamw_",
        rows.device,
        rows.have_device_steps,
        (len(rows.params), rows.num_chunks),
        (bool(rows.states[2]), maximize, 0, 0),
        (lr, beta1, beta2, eps, weight_decay, 1.0, grad_factor, average_weight),
        factors,
    )
    update_table.op(rows.device_table(), numbers, rows.host_steps())
    del kept
    if factors.grad_scale is not None:
        rows.copy_grads_back()
    count_versions(rows.params)


def as_tensor(numbers: list[int]) -> Tensor:
    return torch.tensor(numbers, dtype=torch.int64, device="cpu")
