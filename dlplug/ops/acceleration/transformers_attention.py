"""Attention modules of Hugging Face transformers, through its attention interface.

Their forward pass asks for the function that ``config._attn_implementation`` names. dlplug puts
one in the place of ``sdpa``, whose name transformers compares in many places. ``eager`` is each
model's own: dlplug registers one of another name, and names it in the configs of the modules that
are swapped. Modules that are not come there too: for those, and for calls that the op does not
take, the function hands over to the implementation that stood there before.

Written for the interface of transformers 5 (``ALL_ATTENTION_FUNCTIONS``, and
``ALL_MASK_ATTENTION_FUNCTIONS`` for the masks that models then make); transformers is never
imported here.
"""

import inspect
import re
import sys
from collections.abc import Callable
from types import ModuleType

import torch
from torch import Tensor

from dlplug.errors import BackendError, OpError
from dlplug.ops.acceleration.code_form import digest
from dlplug.ops.acceleration.redirection import names_in
from dlplug.ops.acceleration.swap import Swapped
from dlplug.ops.attention import attention

EAGER = "dlplug_eager"
STANDS_FOR = ("sdpa", "eager")
# Models whose scores have a softcap or sinks know no other implementation than their own ``eager``
# function. By the digest of its code: what it adds.
EAGER_FORMS = {"f8809875daa2dace": "softcap", "851d9e1cba8b8e8c": "sinks"}

Result = tuple[Tensor, Tensor | None]
_PLAIN_SDPA: list[Callable[..., Result]] = []  # the one that stood there before


class FusedInterfaceAttention(Swapped):
    """Marks a module whose calls of the attention interface go to ``dlplug.ops.attention``."""

    ops = ("attention",)

    @classmethod
    def attributes(cls, plain: type) -> dict[str, object]:
        _register()  # a pickle may be read where nobody has accelerated anything yet
        return {}

    @classmethod
    def prepare(cls, module: torch.nn.Module) -> None:
        config = module.config
        if _name(config) == "eager":
            # Not through the property, which changes the configs of other parts of the model too.
            config._attn_implementation_internal = EAGER

    @classmethod
    def release(cls, module: torch.nn.Module) -> None:
        if _name(module.config) == EAGER:
            module.config._attn_implementation_internal = "eager"


def uses_interface(module: torch.nn.Module) -> bool:
    """Whether the module is an attention of transformers that asks the interface."""
    config = getattr(module, "config", None)
    return (
        "transformers.modeling_utils" in sys.modules
        and hasattr(config, "_attn_implementation")
        and not isinstance(module, sys.modules["transformers.modeling_utils"].PreTrainedModel)
        and "ALL_ATTENTION_FUNCTIONS" in names_in(type(module))
    )


def why_not_interface(module: torch.nn.Module) -> str | None:
    """Why such a module is left alone, or None."""
    if _masks() is None or not hasattr(module.config, "_attn_implementation_internal"):
        return "this version of transformers has no interface for masks"
    base = "eager" if _name(module.config) == EAGER else _name(module.config)
    if base not in STANDS_FOR:
        return f"its config asks for the attention '{base}'"
    file = _file_of(module)
    if re.search(
        rf"_attn_implementation\s*(==|!=|(not )?in\b).*\"{base}\"", inspect.getsource(file)
    ):
        return f"the code of {file.__name__} does something else for '{base}'"
    if base == "eager" and _eager_form(file) is None:
        return "its attention 'eager' returns the weights; 'sdpa' does not"
    return None


def _name(config: object) -> str:
    return str(config._attn_implementation)


def _masks() -> ModuleType | None:
    return sys.modules.get("transformers.masking_utils")


def _file_of(module: torch.nn.Module) -> ModuleType:
    return sys.modules[type(module).__module__]


def _eager_form(file: ModuleType) -> str | None:
    """``softcap`` or ``sinks``: what a model's own eager attention has; None for all others."""
    function = getattr(file, "eager_attention_forward", None)
    return EAGER_FORMS.get(digest(function)) if function else None


def _register() -> None:
    """Give transformers the functions, once."""
    functions = sys.modules["transformers.modeling_utils"].ALL_ATTENTION_FUNCTIONS
    masks = _masks().ALL_MASK_ATTENTION_FUNCTIONS
    functions.register(EAGER, _in_place_of_eager)
    masks.register(EAGER, masks["eager"])
    if not _PLAIN_SDPA:
        _PLAIN_SDPA.append(functions["sdpa"])
        functions.register("sdpa", _in_place_of_sdpa)


def _in_place_of_sdpa(
    module: torch.nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    is_causal: bool | None = None,
    **kwargs,
) -> Result:
    """``sdpa_attention_forward``; query ``(N, H, L, E)``, key and value ``(N, G, S, E)``."""

    def fused() -> Tensor:
        is_hiding = getattr(module, "is_causal", True) if is_causal is None else is_causal
        length = query.shape[2]
        is_hiding = bool(length > 1 and attention_mask is None and is_hiding)
        # Of a cache that is longer than what it holds, the rest is hidden.
        keys = (x[:, :, :length] if is_hiding else x for x in (key, value))
        return attention(
            query, *keys, attention_mask, is_causal=is_hiding, scale=scaling, enable_gqa=True
        )

    refused = ("softcap", "position_bias", "cache", "output_attentions")
    is_plain = any(kwargs.get(name) is not None and kwargs[name] is not False for name in refused)
    options = {"dropout": dropout, "scaling": scaling, "is_causal": is_causal, **kwargs}
    inputs = (module, query, key, value, attention_mask)
    return _either(fused, is_plain, _PLAIN_SDPA[0], inputs, options)


def _in_place_of_eager(
    module: torch.nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    **kwargs,
) -> Result:
    """A model's own ``eager_attention_forward``, whose weights are made where they are wanted."""
    file = _file_of(module)

    def fused() -> Tensor:
        softcap, sinks = kwargs.get("softcap"), None
        if hasattr(module, "sinks"):
            softcap, sinks = None, module.sinks
        return attention(
            query, key, value, attention_mask, scale=scaling, enable_gqa=True, softcap=softcap,
            sinks=sinks,
        )  # fmt: skip

    wants_weights = kwargs.get("output_attentions") or module.config.output_attentions
    # Weights are also collected by hooks.
    is_plain = bool(wants_weights or module._forward_hooks or scaling is None)
    options = {"dropout": dropout, "scaling": scaling, **kwargs}
    inputs = (module, query, key, value, attention_mask)
    return _either(fused, is_plain, file.eager_attention_forward, inputs, options)


def _either(
    fused: Callable[[], Tensor],
    is_plain: bool,
    plain: Callable[..., Result],
    inputs: tuple,
    options: dict[str, object],
) -> Result:
    """The op, or what it stands for: for modules that are not swapped, dropout, and refusals."""
    if not is_plain and isinstance(inputs[0], FusedInterfaceAttention) and options["dropout"] == 0:
        try:
            return fused().transpose(1, 2).contiguous(), None
        except BackendError:
            raise
        except OpError:
            pass
    return plain(*inputs, **options)
