"""Which kernels a call of ``attention`` takes where several can: as measured, or as asked for.

``DLPLUG_ATTENTION`` names one for every call that ``DLPLUG_BACKEND=auto`` would route: ``native``,
dlplug's own; ``hopper``, of these the ones for GPUs of compute capability 9.0; ``torch``, PyTorch's
op; or one of that op's kernels. A call that the one asked for cannot take is an error.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from dlplug.errors import BackendError, suggestion

VARIABLE = "DLPLUG_ATTENTION"
OF_TORCH = {
    "torch": None,
    "flash": SDPBackend.FLASH_ATTENTION,
    "cudnn": SDPBackend.CUDNN_ATTENTION,
    "efficient": SDPBackend.EFFICIENT_ATTENTION,
    "math": SDPBackend.MATH,
}
OWN = ("native", "hopper")
CHOICES = (*OWN, *OF_TORCH)
HALF = (torch.bfloat16, torch.float16)
HOPPER = (9, 0)  # compute capability
HOPPER_WIDTHS = (64, 128)
FEW_QUERIES, MANY_KEYS = 16, 256  # as in csrc/cuda/attention_few.h

# What was the fastest for plain and causal calls on a GPU, one of `CHOICES`, by its compute
# capability (major) and the dtype; ``hopper`` takes all that it can there. Elsewhere PyTorch's
# op, which chooses among its own kernels.
# Nothing is measured yet; this does it:
MEASURING = "python -m dlplug bench ops --device cuda --only attention"
FASTEST: dict[tuple[int, torch.dtype], str] = {}

forced: str | None = None


def read_environment() -> None:
    """Apply DLPLUG_ATTENTION; called once, at import.

    Raises:
        BackendError: It names none of `CHOICES`.
    """
    global forced
    name = os.environ.get(VARIABLE) or None
    if name is not None and name not in CHOICES:
        raise BackendError(
            f"no attention named '{name}'",
            where=f"environment variable {VARIABLE}",
            known=", ".join(CHOICES),
            fix=suggestion(name, CHOICES),
        )
    forced = name


@contextmanager
def asking_for(name: str) -> Iterator[None]:
    """Within, calls take the kernels of `CHOICES` that ``name`` says, as by DLPLUG_ATTENTION."""
    global forced
    before, forced = forced, name
    try:
        yield
    finally:
        forced = before


def why_torch_on_gpu(
    query: Tensor, key: Tensor, attn_mask: Tensor | None, has_features: bool
) -> str | None:
    """Why PyTorch's op is the one for a call on a GPU, or None for dlplug's.

    Its kernels know plain and causal attention; the rest they take as a mask, of the scores' size
    and with a gradient of that size, or not at all.
    """
    if has_features or attn_mask is not None:
        return None
    if query.dtype not in HALF and query.dim() > 2 and key.size(-3) != query.size(-3):
        return (
            None  # grouped heads in float32: its kernels but the one that keeps all scores refuse
        )
    if torch.are_deterministic_algorithms_enabled():
        return None  # some of its backward passes are not
    name = _measured(query)
    if name == "native":
        return None
    if name == "hopper":
        return "PyTorch's kernels take plain and causal calls that the Hopper kernel cannot take"
    if name is not None:
        return f"{name} was the fastest for plain and causal calls"
    return (
        f"PyTorch's kernels take plain and causal calls, until dlplug's are measured ({MEASURING})"
    )


def _measured(query: Tensor) -> str | None:
    return FASTEST.get((_capability(query), query.dtype)) if FASTEST else None


def _capability(query: Tensor) -> int:
    return torch.cuda.get_device_capability(query.device)[0] if query.is_cuda else 0


def may_use_tf32(query: Tensor) -> bool:
    """Whether a GPU may multiply it as TF32: by the switch that PyTorch's products obey."""
    return not query.is_cpu and query.dtype == torch.float32 and _is_tf32_allowed()


@torch.compiler.assume_constant_result  # a graph is made anew where such a switch has changed
def _is_tf32_allowed() -> bool:
    # Not by `allow_tf32`, which raises where `fp32_precision` has been set.
    return torch.backends.cuda.matmul.fp32_precision == "tf32"


def why_not_hopper(
    devices: set[str],
    query: Tensor,
    value: Tensor,
    attn_mask: Tensor | None,
    dropout_p: float,
    alibi_slopes: Tensor | None,
) -> str | None:
    """Why the kernel for Hopper GPUs cannot take a call, or None.

    Args:
        devices: Device types that it is built for.
    """
    device = query.device.type
    if device not in devices:
        return f"no library here has the Hopper kernel for {device}"
    if device == "cuda" and torch.cuda.get_device_capability(query.device) != HOPPER:
        return "the GPU is no Hopper, of compute capability 9.0"
    if query.dtype not in HALF:
        return f"the Hopper kernel takes bfloat16 and float16, not {query.dtype}"
    widths = query.size(-1), value.size(-1)
    if widths not in [(width, width) for width in HOPPER_WIDTHS]:
        return f"head dimensions {widths[0]} and {widths[1]} are not both 64 or both 128"
    if attn_mask is not None or alibi_slopes is not None or dropout_p != 0:
        return "the Hopper kernel has no attn_mask, alibi_slopes or dropout"
    return None


def takes_hopper(
    devices: set[str],
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None,
    dropout_p: float,
    alibi_slopes: Tensor | None,
) -> bool:
    """Whether, of dlplug's kernels, a call takes the one for Hopper GPUs; as `why_not_hopper`.

    Where it was asked for, or measured to be the fastest; not for few queries beside many keys,
    whose keys the other kernel splits between blocks.
    """
    if forced is not None:
        return forced == "hopper"
    if _measured(query) != "hopper":
        return False
    if query.size(-2) <= FEW_QUERIES and key.size(-2) >= MANY_KEYS:
        return False
    return why_not_hopper(devices, query, value, attn_mask, dropout_p, alibi_slopes) is None


def cannot(choice: str, why: str) -> BackendError:
    """What a call raises that the kernels asked for cannot take."""
    return BackendError(
        f"{VARIABLE}={choice} cannot take this call of attention: {why}",
        known=", ".join(CHOICES),
        fix=f"unset {VARIABLE} to let each call take what it can",
    )


@contextmanager
def torch_kernel(query: Tensor) -> Iterator[None]:
    """Within, PyTorch's op takes the kernel asked for, or first the one measured, if any is."""
    backend = OF_TORCH.get(forced)
    if backend is None:
        first = OF_TORCH.get(_measured(query)) if forced is None else None
        with nullcontext() if first is None else sdpa_kernel(_enabled(first), set_priority=True):
            yield
        return
    with sdpa_kernel(backend):
        if torch.compiler.is_compiling():  # what a tracer raises is its own affair
            yield
            return
        try:
            yield
        except torch.OutOfMemoryError:
            raise
        except RuntimeError as error:
            raise cannot(forced, str(error)) from error


def _enabled(first: SDPBackend) -> list[SDPBackend]:
    """PyTorch's kernels that are switched on, ``first`` before the others."""
    switches = {
        SDPBackend.FLASH_ATTENTION: torch.backends.cuda.flash_sdp_enabled,
        SDPBackend.CUDNN_ATTENTION: torch.backends.cuda.cudnn_sdp_enabled,
        SDPBackend.EFFICIENT_ATTENTION: torch.backends.cuda.mem_efficient_sdp_enabled,
        SDPBackend.MATH: torch.backends.cuda.math_sdp_enabled,
    }
    return sorted((x for x, is_on in switches.items() if is_on()), key=lambda x: x != first)


read_environment()
