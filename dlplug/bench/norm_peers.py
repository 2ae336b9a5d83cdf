"""Other libraries' norms on a GPU, where they are installed: quack and Liger."""

from collections.abc import Callable
from functools import partial
from importlib import import_module

import torch
from torch import Tensor

from dlplug.bench.row import LeftOut, Missing

Norm = Callable[..., Tensor | tuple[Tensor, Tensor]]


def quack(op: str, dtype: torch.dtype, has_backward: bool, eps: float) -> Norm:
    """``quack-kernels``: RMSNorm with and without residual; LayerNorm forward, by float32 weights.

    Args:
        op: ``layer_norm``, ``rms_norm``, ``add_layer_norm`` or ``add_rms_norm``.
        dtype: Of all tensors.
        has_backward: Whether gradients are asked for.
        eps: Of the norm.
    Returns:
        What is called as the op is.
    Raises:
        Missing: It is not installed.
        LeftOut: It has no such op.
    """
    library = _library("quack.rmsnorm")
    if op == "rms_norm":
        return partial(library.rmsnorm, eps=eps)
    if op == "add_rms_norm":
        return lambda x, residual, weight: library.rmsnorm(
            x, weight, residual=residual, eps=eps, prenorm=True
        )
    if op != "layer_norm" or has_backward or dtype is not torch.float32:
        raise LeftOut("of LayerNorm it has the forward pass alone, by float32 weights")
    return partial(library.layernorm_fwd, eps=eps)


def liger(op: str, dtype: torch.dtype, has_backward: bool, eps: float) -> Norm:
    """``liger-kernel``: the same, of any dtype and with gradients, but no residual of LayerNorm."""
    library = _library("liger_kernel.transformers.functional")
    if op == "layer_norm":
        return lambda x, weight, bias: library.liger_layer_norm(x, weight, bias, eps)
    if op == "rms_norm":
        return lambda x, weight: library.liger_rms_norm(x, weight, eps, in_place=False)
    if op == "add_layer_norm":
        raise LeftOut("it has no LayerNorm with a residual")
    if not hasattr(library, "liger_fused_add_rms_norm"):
        raise LeftOut("this version has no norm with a residual")
    return lambda x, residual, weight: library.liger_fused_add_rms_norm(
        x, residual, weight, eps, in_place=False
    )


PEERS = {"quack": quack, "liger": liger}


def _library(name: str):
    try:
        return import_module(name)
    except ModuleNotFoundError as why:
        raise Missing(f"no module {why.name.partition('.')[0]}") from None
