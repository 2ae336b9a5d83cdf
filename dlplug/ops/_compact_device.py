"""Compact AdamW's rows on a device."""

from array import array
from collections.abc import Sequence

import torch
from torch import Tensor

from dlplug.errors import BackendError
from dlplug.ops import _device_table, _library
from dlplug.ops._adamw_device import as_tensor, chunks_of, table_of
from dlplug.ops._compact_row import EXTRAS
from dlplug.ops._compact_rows import CompactRows
from dlplug.ops._device_step import DeviceFactors, pack
from dlplug.ops._device_table import DeviceTable, is_capturing
from dlplug.ops._memory_layout import DTYPE_CODES, addresses_of
from dlplug.ops.fallback.compact_adamw import STORAGES, storage_for

update_table = _library.define_by_address(
    "compact_adamw_device_table_(Tensor table, Tensor numbers, Tensor steps) -> ()",
    instead="compact_adamw_",
)


class CompactDeviceRows(CompactRows):
    """The tensors of one update on a device; their steps all there, or all on the CPU.

    Attributes:
        first: Number of the first row among those that draw random bits by one seed.
    """

    def __init__(self, first: int = 0):
        self._device_table, self.first = DeviceTable(), first
        super().__init__()

    @property
    def device(self) -> torch.device:
        return self.params[0].device

    @property
    def have_device_steps(self) -> bool:
        return _device_table.is_on_device(self.states[0]["step"])

    def device_table(self) -> Tensor:
        """What csrc/ops/compact_adamw.h describes; only right after `refusal` gave None."""
        numbers = self._fixed + array("q", self._grad_addresses)
        return self._device_table.holding(numbers, self.device)

    def host_steps(self) -> Tensor:
        """Addresses of the steps that lie on the CPU."""
        steps = [] if self.have_device_steps else [state["step"] for state in self.states]
        return as_tensor(addresses_of(steps))

    @property
    def num_chunks(self) -> int:
        return self._num_chunks

    def _why_elsewhere(self) -> str | None:
        device, steps = self.device, [state["step"] for state in self.states]
        own = {id(step) for step in steps}
        if not all([t.device == device for t in self._kept if id(t) not in own]):
            return f"a tensor is not on {device}"
        place = device if self.have_device_steps else torch.device("cpu")
        if not all([step.device == place for step in steps]):
            return f"a step is not on {place}, as others are"
        return None

    def _are_beside(self, grads: Sequence[Tensor]) -> bool:
        device = self.device
        return all([grad.device == device for grad in grads])

    def _columns(self) -> array:
        """All columns but that of the gradients, which are new each step."""
        none = [0] * len(self.params)
        first_chunks, self._num_chunks = chunks_of(self._numels)
        places = [STORAGES.index(storage_for(p, self.storage)) for p in self.params]
        return table_of(
            [
                addresses_of(self.params),
                self._of_states("exp_avg"),
                self._of_states("exp_avg_sq"),
                self._of_states(*EXTRAS),
                self._of_states("exp_avg_scale"),
                self._of_states("exp_avg_sq_scale"),
                addresses_of(self.averages) or none,
                self._of_states("step") if self.have_device_steps else none,
                self._numels,
                [DTYPE_CODES[dtype] for dtype in self._dtypes],
                [place + 256 * (self.first + i) for i, place in enumerate(places)],
                first_chunks,
            ]
        )


def compact_rows_for(tensors: Sequence[Tensor]) -> type[CompactRows]:
    """What gathers these for the kernel of their device."""
    on_device = tensors and _device_table.is_on_device(tensors[0])
    return CompactDeviceRows if on_device else CompactRows


def update_on_device(
    rows: CompactDeviceRows,
    seed: int,
    numbers: tuple[float | Tensor, ...],
    maximize: bool,
    factors: DeviceFactors,
) -> None:
    """Launch the kernel on rows that were just found fit for it; waits for nothing.

    Args:
        rows: What is updated.
        seed: Of the random bits; if theirs lies on the device, what the next step's is larger by.
        numbers: As of `pack`.
        maximize: Go up the gradient.
        factors: Beside the numbers.
    Raises:
        BackendError: Random bits by a number in a CUDA graph, which would draw the same in each
            replay; and as of `pack`, as InvalidValueError.
    """
    device = rows.device
    if rows.storage == "stochastic" and factors.seed is None and is_capturing(device):
        raise BackendError(
            "compact_adamw_: a CUDA graph would round by the same random numbers in each replay",
            fix="keep the seed on the device, as CompactAdamW(capturable=True) does",
        )
    packed, kept = pack(
        "compact_adamw_",
        device,
        rows.have_device_steps,
        (len(rows.params), rows.num_chunks),
        (False, maximize, STORAGES.index(rows.storage), seed),
        numbers,
        factors,
    )
    update_table.op(rows.device_table(), packed, rows.host_steps())
    del kept
