"""Parameters by block of the network, norms of them, and a way to log without waiting each step."""

from collections.abc import Iterable, Mapping

import lightning
import torch
from torch import Tensor
from torch.distributed.tensor import DTensor

from dlplug.errors import InvalidValueError


def block_of(name: str) -> str:
    """The block that a parameter belongs to, by its name.

    ``architecture.blocks.3.qkv.weight`` belongs to ``blocks.3``: everything up to the first number,
    or the first part where there is none.
    """
    parts = name.removeprefix("architecture.").split(".")
    number = next((i for i, part in enumerate(parts) if part.isdecimal()), None)
    if number is not None:
        return ".".join(parts[: number + 1])
    return parts[0]


def blocks_of(module: lightning.LightningModule) -> dict[str, list[str]]:
    """Names of the trained parameters of each block, in the module's order."""
    blocks: dict[str, list[str]] = {}
    for name, parameter in module.named_parameters():
        if parameter.requires_grad:
            blocks.setdefault(block_of(name), []).append(name)
    return blocks


def norm(tensors: Iterable[Tensor | None]) -> Tensor:
    """Euclidean norm of all of them together, on their device; None counts as zeros."""
    found = [
        whole(torch.linalg.vector_norm(t.detach(), dtype=_dtype(t)))
        for t in tensors
        if t is not None
    ]
    return torch.linalg.vector_norm(torch.stack(found)) if found else torch.zeros(())


def whole(tensor: Tensor) -> Tensor:
    """A sharded tensor gathered; every process takes part."""
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def read(values: Mapping[str, Tensor]) -> dict[str, float]:
    """All numbers at once: one wait for the GPU."""
    if not values:
        return {}
    device = next((v.device for v in values.values() if v.device.type != "cpu"), None)
    stacked = torch.stack([v.detach().float().to(device) for v in values.values()])
    return dict(zip(values, stacked.tolist(), strict=True))


def log_step(trainer: lightning.Trainer, values: Mapping[str, float], step: int) -> None:
    """Give numbers of a step to the loggers.

    Not through ``self.log``: that passes them on every ``trainer.log_every_n_steps`` only, and
    shows them in the line of each epoch.

    Args:
        trainer: Whose loggers.
        values: By name.
        step: Index of the optimizer step, counted from 0.
    """
    if trainer.is_global_zero and values:
        for logger in trainer.loggers:
            logger.log_metrics({**values, "epoch": trainer.current_epoch}, step=step)


def check_every(callback: str, every_n_steps: int) -> None:
    """``every_n_steps`` is 1 or more.

    Raises:
        InvalidValueError: it is not.
    """
    if every_n_steps < 1:
        raise InvalidValueError(f"{callback}: every_n_steps = {every_n_steps} is below 1")


def _dtype(tensor: Tensor) -> torch.dtype:
    """Of the sum of squares: half precision would overflow."""
    return torch.float32 if tensor.element_size() < 4 else tensor.dtype
