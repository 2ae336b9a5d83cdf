"""Which kernels a call of ``attention`` takes where several can: by a rule, or as asked for.

``DLPLUG_ATTENTION`` names one for every call that ``DLPLUG_BACKEND=auto`` would route: ``native``,
dlplug's own; ``torch``, PyTorch's op; or one of that op's kernels. A call that the one asked for
cannot take is an error.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager

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
CHOICES = ("native", *OF_TORCH)
HALF = (torch.bfloat16, torch.float16)

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


def why_torch_on_gpu(
    query: Tensor, key: Tensor, attn_mask: Tensor | None, has_features: bool
) -> str | None:
    """Why PyTorch's op is the one for a call on a GPU, or None for dlplug's.

    Its kernels know plain and causal attention; the rest they take as a mask, of the scores' size
    and with a gradient of that size, or not at all. None of this is measured yet.
    """
    if has_features or attn_mask is not None:
        return None
    if query.dtype not in HALF and query.dim() > 2 and key.size(-3) != query.size(-3):
        return (
            None  # grouped heads in float32: its kernels but the one that keeps all scores refuse
        )
    return "PyTorch's kernels take plain and causal calls, until dlplug's are measured"


def cannot(choice: str, why: str) -> BackendError:
    """What a call raises that the kernels asked for cannot take."""
    return BackendError(
        f"{VARIABLE}={choice} cannot take this call of attention: {why}",
        known=", ".join(CHOICES),
        fix=f"unset {VARIABLE} to let each call take what it can",
    )


@contextmanager
def torch_kernel() -> Iterator[None]:
    """Within, PyTorch's op takes the kernel asked for, if one is."""
    backend = OF_TORCH.get(forced)
    if backend is None:
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


read_environment()
