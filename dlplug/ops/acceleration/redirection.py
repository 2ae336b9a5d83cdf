"""Modules whose own forward pass calls PyTorch's fused functions: only those calls change hands.

The forward pass runs as it stands, inside a mode that takes its calls of
``F.scaled_dot_product_attention``, ``F.layer_norm`` and ``F.rms_norm`` to dlplug's ops. So nothing
of a library's code needs to be known or repeated, and what it does around the call stays what it
is, from one version to the next. The mode costs about 8 us a call, and 1 us per function inside.
Under ``torch.compile`` such modules run as they were.
"""

import inspect
from collections.abc import Callable
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.fx import Proxy
from torch.overrides import TorchFunctionMode

from dlplug.errors import BackendError, OpError
from dlplug.ops.acceleration.swap import Swapped
from dlplug.ops.attention import attention
from dlplug.ops.layer_norm import layer_norm
from dlplug.ops.rms_norm import rms_norm


def _attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Tensor | None:
    if isinstance(query, Proxy) or query.is_nested:
        return None
    # Dropped weights depend on PyTorch's generator; its error about two masks is its own.
    if dropout_p != 0 or (is_causal and attn_mask is not None):
        return None
    return attention(
        query, key, value, attn_mask, is_causal=is_causal, scale=scale, enable_gqa=enable_gqa
    )


def _layer_norm(
    input: Tensor,
    normalized_shape: list[int],
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
) -> Tensor | None:
    if isinstance(input, Proxy) or input.is_nested:
        return None
    if tuple(normalized_shape) != input.shape[-1:]:
        return None
    return layer_norm(input, weight, bias, eps)


def _rms_norm(
    input: Tensor,
    normalized_shape: list[int],
    weight: Tensor | None = None,
    eps: float | None = None,
) -> Tensor | None:
    if isinstance(input, Proxy) or input.is_nested:
        return None
    has_other_dtype = weight is not None and weight.dtype is not input.dtype
    if has_other_dtype or tuple(normalized_shape) != input.shape[-1:]:
        return None
    if eps is None:
        eps = torch.finfo(torch.float64 if input.dtype is torch.float64 else torch.float32).eps
    return rms_norm(input, weight, eps)


# Name of a function as code spells it: the function, and its op, which gives None for the rest.
REDIRECTED = {
    "scaled_dot_product_attention": (F.scaled_dot_product_attention, _attention, "attention"),
    "layer_norm": (F.layer_norm, _layer_norm, "layer_norm"),
    "rms_norm": (F.rms_norm, _rms_norm, "rms_norm"),
}


class _Redirection(TorchFunctionMode):
    def __init__(self, functions: dict[Callable, Callable]):
        super().__init__()
        self.functions = functions

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        fused = self.functions.get(func)
        if fused is not None:
            try:
                out = fused(*args, **kwargs)
            except BackendError:
                raise  # a backend that was asked for
            except OpError:
                out = None  # PyTorch's own function says it in its own words
            if out is not None:
                return out
        return func(*args, **kwargs)


class Redirected(Swapped):
    """A module's own forward pass, its calls of some of PyTorch's functions redirected.

    Only of those functions that the class itself names: what its children call is their own affair.

    Attributes:
        redirected: The ops by the functions that they stand for.
    """

    redirected: ClassVar[dict[Callable, Callable]]

    @classmethod
    def attributes(cls, plain: type) -> dict[str, object]:
        found = [REDIRECTED[name] for name in named_functions(plain)]
        return {
            "ops": tuple(op for _, _, op in found),
            "redirected": {function: fused for function, fused, _ in found},
        }

    def forward(self, *args, **kwargs):
        # Dynamo knows modes, but not every method of a tensor below one (torch 2.13).
        if torch.compiler.is_compiling():
            return super().forward(*args, **kwargs)
        with _Redirection(type(self).redirected):
            return super().forward(*args, **kwargs)


def named_functions(plain: type) -> list[str]:
    """Which of the redirected functions the code of a module's class speaks of."""
    names = names_in(plain)
    return [name for name in REDIRECTED if name in names]


def why_not_redirected(module: torch.nn.Module) -> str | None:
    """Why a module whose class speaks of these functions is left alone, or None."""
    for flag in ("fused_attn", "flash"):  # timm's and x-transformers' switches
        if getattr(module, flag, True) is False:
            return f"it computes the weights itself: {flag} is False"
    if "checkpoint" in names_in(type(module)):
        return "it computes parts anew in the backward pass, outside of its forward pass"
    return None


def names_in(plain: type) -> set[str]:
    """Attributes and globals that the code of a class, up to ``torch.nn.Module``, names."""
    names: set[str] = set()
    for base in plain.__mro__:
        if base.__module__.startswith("torch."):
            continue
        for member in vars(base).values():
            function = inspect.unwrap(getattr(member, "__func__", member))
            if hasattr(function, "__code__"):
                names.update(function.__code__.co_names)
    return names
