"""What a step does to gradients before it uses them: unscale, clip."""

from collections.abc import Sequence

import torch
from torch import Tensor

from dlplug.ops._clipping import clip_factor
from dlplug.ops._memory_layout import PLAIN_TYPES
from dlplug.optim._gradient_norm import groups_with_parts, norms_of_tensors
from dlplug.optim._local_tensors import local


def clip(params: Sequence[Tensor], max_norm: float) -> float:
    """Clip the norm of all gradients together to ``max_norm``.

    Returns:
        What the update is to multiply them by for that. It is 1 where they are on another device,
        complex, summands of several processes, or traced: PyTorch's ``clip_grad_norm_`` has then
        changed them in place, without waiting for the device.
    """
    with_grad = [param for param in params if param.grad is not None]
    grads = [param.grad for param in with_grad]
    if torch.compiler.is_compiling():
        torch.nn.utils.clip_grad_norm_(params, max_norm)
        return 1.0
    own, groups = list(map(local, grads)), list(map(groups_with_parts, grads))
    if None in groups or not all(map(_has_plain_norm, own)):
        # As `clip_grad_norm_`, which would scale a gradient of two parameters twice.
        norm = torch.nn.utils.get_total_norm(grads)
        once = {id(param.grad): param for param in with_grad}
        torch.nn.utils.clip_grads_with_norm_(list(once.values()), max_norm, norm)
        return 1.0
    if not grads:
        return 1.0
    (norm,) = norms_of_tensors(zip(own, groups, strict=True), {}).values()
    return clip_factor(norm.item(), max_norm)


def _has_plain_norm(grad: Tensor) -> bool:
    is_plain = type(grad) in PLAIN_TYPES and grad.layout is torch.strided
    return is_plain and grad.is_cpu and grad.is_floating_point()


def multiply(grads: Sequence[Tensor], factor: float) -> None:
    """Scale gradients, each once however often it is listed."""
    if factor != 1.0:
        with torch.no_grad():
            for grad in {id(grad): grad for grad in grads}.values():
                grad.mul_(factor)


def divide(grads: Sequence[Tensor], scale: float) -> None:
    """Divide gradients, each once however often it is listed."""
    if scale != 1.0:
        with torch.no_grad():
            for grad in {id(grad): grad for grad in grads}.values():
                grad.div_(scale)


def divide_at_once(grads: Sequence[Tensor], scale: float) -> None:
    """The same for gradients that overlap: all quotients are there before one is written."""
    with torch.no_grad():
        for grad, quotient in [(grad, grad / scale) for grad in grads]:
            grad.copy_(quotient)
