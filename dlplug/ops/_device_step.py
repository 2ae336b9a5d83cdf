"""The numbers of an AdamW step on a device, as the kernels there take them.

Some are known on the device alone: they are given by address, and nothing waits for them.
"""

from dataclasses import dataclass
from struct import Struct

import torch
from torch import Tensor

from dlplug.errors import BackendError, InvalidValueError
from dlplug.ops import _device_table
from dlplug.ops._clipping import clip_factor
from dlplug.ops._device_table import is_capturing

# Elements that one block of threads updates; a multiple of the blocks of 8-bit states.
CHUNK = 8192
# As csrc/ops/adamw.h lists them.
NUMBERS = Struct("=13q9d")
ON_HOST, ON_DEVICE = 0, 2  # where steps are


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
    rate = _rate_on(device, lr)
    packed = NUMBERS.pack(
        *counts,
        CHUNK,
        *kind,
        ON_DEVICE if has_device_steps else ON_HOST,
        *map(_address, (rate, factors.grad_scale, factors.found_inf, factors.norm, factors.seed)),
        lr if rate is None else 0.0,
        beta1,
        beta2,
        *others,
        factors.max_norm,
    )
    return torch.frombuffer(bytearray(packed), dtype=torch.int64), rate


def _check_numbers(
    op: str,
    device: torch.device,
    has_device_steps: bool,
    found_inf: Tensor | None,
    *betas: float | Tensor,
) -> None:
    """Refuse what would make the step wait for the device, or a CUDA graph repeat one step.

    Raises:
        BackendError, InvalidValueError: As of `pack`.
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


def _rate_on(device: torch.device, lr: float | Tensor) -> Tensor | None:
    """A learning rate that lies on the device, as the kernel reads it; else None."""
    if not isinstance(lr, Tensor) or not _device_table.is_on_device(lr):
        return None
    return lr.detach().to(device, torch.float32)


def _address(tensor: Tensor | None) -> int:
    """0 for none."""
    return 0 if tensor is None else tensor.data_ptr()
