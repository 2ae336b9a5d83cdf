"""AdamW's rows on a device: the table that its kernel is given, and the step."""

from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from struct import Struct

import torch
from torch import Tensor

from dlplug.errors import BackendError, InvalidValueError
from dlplug.ops import _device_table, _library
from dlplug.ops._adamw_row import Row
from dlplug.ops._adamw_rows import Rows
from dlplug.ops._clipping import clip_factor
from dlplug.ops._device_table import DeviceTable, is_capturing
from dlplug.ops._memory_layout import DTYPE_CODES, addresses_of

# Elements that one block of threads updates; a multiple of the blocks of 8-bit states.
CHUNK = 8192
# As csrc/ops/adamw.h lists them.
NUMBERS = Struct("=13q9d")
ON_HOST, ON_DEVICE = 0, 2  # where steps are

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


@dataclass(frozen=True)
class DeviceFactors:
    """What a step does to gradients, as far as that is known on their device alone.

    Attributes:
        grad_scale: What gradients are divided by first; they keep the quotient. One float32 on the
            device, as the next.
        found_inf: Nothing changes unless it is 0. Needs steps on the device.
        norm: Of all gradients as they are, float64: where it is larger than ``max_norm`` times
            the scale, the step is that of gradients scaled down to it.
        max_norm: > 0; without ``norm`` it is not looked at.
        seed: Of random bits, int64. A step that is not skipped leaves that of the next one there.
            Needs steps on the device.
    """

    grad_scale: Tensor | None = None
    found_inf: Tensor | None = None
    norm: Tensor | None = None
    max_norm: float = 0.0
    seed: Tensor | None = None

    def on_host(self) -> tuple[bool, float, float]:
        """Whether the step is skipped, the scale, and the factor of clipping; waits for them."""
        scale = 1.0 if self.grad_scale is None else self.grad_scale.item()
        factor = 1.0
        if self.norm is not None:
            factor = clip_factor(self.norm.item(), self.max_norm * scale)
        return self.found_inf is not None and bool(self.found_inf.item()), scale, factor

    def take_seed(self, difference: int) -> int:
        """The seed of a step that is not the kernel's; leaves the next one's; waits for it."""
        seed = int(self.seed)
        self.seed.fill_((seed + difference) % 2**63)
        return seed


NO_FACTORS = DeviceFactors()


def pack(
    op: str,
    device: torch.device,
    has_device_steps: bool,
    counts: tuple[int, int],
    kind: tuple[int, int, int, int],
    numbers: tuple[float | Tensor, ...],
    factors: DeviceFactors,
) -> tuple[Tensor, Tensor | None]:
    """What csrc/ops/adamw.h calls ``numbers``, and a tensor to keep until the launch.

    Args:
        op: For messages.
        device: Of the rows.
        has_device_steps: Their steps are there, too.
        counts: Rows and chunks.
        kind: is_amsgrad, maximize, number of the storage, seed (by what the next step's is larger,
            if the seed lies on the device).
        numbers: lr (a number, or a tensor on the device), beta1, beta2, eps, weight_decay,
            grad_scale, grad_factor, average_weight.
        factors: Beside those.
    Raises:
        BackendError: Steps on the CPU with ``found_inf`` or in a CUDA graph.
        InvalidValueError: beta1 or beta2 lies on the device.
    """
    lr, beta1, beta2, *others = numbers
    _check_numbers(op, device, has_device_steps, factors.found_inf, beta1, beta2)
    rate = on(device, lr)
    packed = NUMBERS.pack(
        *counts,
        CHUNK,
        *kind,
        ON_DEVICE if has_device_steps else ON_HOST,
        *map(address, (rate, factors.grad_scale, factors.found_inf, factors.norm, factors.seed)),
        lr if rate is None else 0.0,
        beta1,
        beta2,
        *others,
        factors.max_norm,
    )
    return torch.frombuffer(bytearray(packed), dtype=torch.int64), rate


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
    torch.autograd.graph.increment_version(rows.params)


def _check_numbers(
    op: str,
    device: torch.device,
    has_device_steps: bool,
    found_inf: Tensor | None,
    *betas: float | Tensor,
) -> None:
    """They can be had without waiting for the device.

    Raises:
        BackendError: They cannot.
    """
    if not has_device_steps and (found_inf is not None or is_capturing(device)):
        why = "found_inf decides there" if found_inf is not None else "a CUDA graph would keep one"
        raise BackendError(
            f"{op}: the parameters are on {device}, their steps on the CPU, and {why}",
            fix=f"keep the steps on {device}, as torch's capturable=True and fused=True do",
        )
    if any(isinstance(beta, Tensor) and _device_table.is_on_device(beta) for beta in betas):
        raise InvalidValueError(
            f"{op}: beta1 and beta2 must be numbers, reading them from {device} would wait for it"
        )


def on(device: torch.device, lr: float | Tensor) -> Tensor | None:
    """A learning rate that lies on the device, as the kernel reads it; else None."""
    if not isinstance(lr, Tensor) or not _device_table.is_on_device(lr):
        return None
    return lr.detach().to(device, torch.float32)


def address(tensor: Tensor | None) -> int:
    """0 for none."""
    return 0 if tensor is None else tensor.data_ptr()


def as_tensor(numbers: list[int]) -> Tensor:
    return torch.tensor(numbers, dtype=torch.int64, device="cpu")
