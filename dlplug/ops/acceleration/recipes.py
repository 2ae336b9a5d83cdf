"""Which forward pass takes a module's place, and why others stay."""

import re
from dataclasses import dataclass

import torch

from dlplug.ops.acceleration import redirection
from dlplug.ops.acceleration.code_form import digest
from dlplug.ops.acceleration.multihead_attention import FusedMultiheadAttention
from dlplug.ops.acceleration.norms import (
    FusedFormulaRMSNorm,
    FusedLayerNorm,
    FusedNorm,
    FusedRMSNorm,
)
from dlplug.ops.acceleration.swap import Swapped, is_swapped, why_not
from dlplug.ops.acceleration.traced_blocks import (
    FusedLayerNormBlock,
    FusedRMSNormBlock,
    NotTraceable,
    rewritten,
)
from dlplug.ops.acceleration.transformer_layers import FusedDecoderLayer, FusedEncoderLayer
from dlplug.ops.acceleration.transformers_attention import (
    FusedInterfaceAttention,
    uses_interface,
    why_not_interface,
)

# Classes of torch, with what may stand in their place. A subclass counts while it inherits forward.
TORCH_CLASSES = {
    torch.nn.LayerNorm: FusedLayerNorm,
    torch.nn.RMSNorm: FusedRMSNorm,
    torch.nn.MultiheadAttention: FusedMultiheadAttention,
    torch.nn.TransformerEncoderLayer: FusedEncoderLayer,
    torch.nn.TransformerDecoderLayer: FusedDecoderLayer,
}
# Digests of the forward passes of RMSNorm in transformers: the weight is multiplied after, or
# before, the result is rounded to the input's dtype.
RMS_NORM_FORMS = ("9635bcd843f309a0", "eef4e978a32aa4a4")
CONTAINERS = (torch.nn.ModuleList, torch.nn.ModuleDict, torch.nn.Sequential)
LOOKS_CONCERNED = re.compile(r"norm|atten|attn", re.IGNORECASE)
ASKS_NO_WEIGHTS = "in calls with need_weights=False, which is not the default"
DROPS_WEIGHTS = "in training its dropout of attention weights is PyTorch's own"


@dataclass(frozen=True)
class Recipe:
    """What is to be done with a module.

    Attributes:
        fused: The class that brings the forward pass; None to leave the module alone.
        reason: Why it is left alone, or a condition.
        concerns: Whether there are ops for what it does.
    """

    fused: type[Swapped] | None
    reason: str = ""
    concerns: bool = True


def recipe_for(module: torch.nn.Module) -> Recipe:
    """What is to be done with a module that is meant."""
    if is_swapped(module):
        return Recipe(type(module).fused, _condition(module))
    if isinstance(module, torch.jit.ScriptModule):
        return Recipe(None, "it is scripted")
    recipe = _by_class(module)
    if recipe.fused and (refusal := why_not(module, recipe.fused)):
        return Recipe(None, refusal)
    return recipe


def _by_class(module: torch.nn.Module) -> Recipe:
    plain = type(module)
    if plain.__module__.startswith("dlplug."):
        return Recipe(None, f"{plain.__name__} is dlplug's own", concerns=False)
    for known, fused in TORCH_CLASSES.items():
        if isinstance(module, known) and plain.forward is known.forward:
            reason = _shape_refusal(module)
            return Recipe(None, reason) if reason else Recipe(fused, _condition(module))
    if uses_interface(module):
        reason = why_not_interface(module)
        return (
            Recipe(None, reason) if reason else Recipe(FusedInterfaceAttention, _condition(module))
        )
    if redirection.named_functions(plain):
        reason = redirection.why_not_redirected(module)
        return (
            Recipe(None, reason) if reason else Recipe(redirection.Redirected, _condition(module))
        )
    if any(isinstance(module, known) for known in TORCH_CLASSES):
        return Recipe(None, f"{plain.__name__} has a forward pass of its own")
    if _is_formula_rms_norm(module):
        return Recipe(FusedFormulaRMSNorm)
    is_torchs = plain.__module__.startswith("torch.")
    if not is_torchs and any(_is_norm(child) for child in module.children()):
        return _by_trace(module)
    holds_one = any(LOOKS_CONCERNED.search(type(child).__name__) for child in module.children())
    if LOOKS_CONCERNED.search(plain.__name__) and not holds_one:
        return Recipe(None, f"the formula of {plain.__name__} is not known to be an op's")
    return Recipe(None, f"dlplug has no op for {plain.__name__}", concerns=False)


def _is_norm(module: torch.nn.Module) -> bool:
    return isinstance(module, FusedNorm | torch.nn.LayerNorm | torch.nn.RMSNorm) or (
        _is_formula_rms_norm(module)
    )


def _is_formula_rms_norm(module: torch.nn.Module) -> bool:
    weight = getattr(module, "weight", None)
    return (
        "RMSNorm" in type(module).__name__
        and isinstance(weight, torch.nn.Parameter)
        and weight.dim() == 1
        and isinstance(getattr(module, "variance_epsilon", None), float)
        and digest(type(module).forward) in RMS_NORM_FORMS
    )


def _by_trace(module: torch.nn.Module) -> Recipe:
    """A block with norms among its children."""
    try:
        rewritten(type(module), module)
    except NotTraceable as error:
        # What holds a list of blocks is no block itself.
        is_block = not any(isinstance(child, CONTAINERS) for child in module.children())
        return Recipe(None, f"residual additions: {error}", is_block)
    norms = [child for child in module.children() if _is_norm(child)]
    is_layer = any(isinstance(norm, FusedLayerNorm | torch.nn.LayerNorm) for norm in norms)
    return Recipe(FusedLayerNormBlock if is_layer else FusedRMSNormBlock)


def _shape_refusal(module: torch.nn.Module) -> str | None:
    axes = len(getattr(module, "normalized_shape", (1,)))
    return f"it normalises over {axes} axes at once" if axes != 1 else None


def _condition(module: torch.nn.Module) -> str:
    if isinstance(module, torch.nn.TransformerEncoderLayer):
        return "with gradients; else PyTorch's fast path may come"
    conditions = [ASKS_NO_WEIGHTS] if isinstance(module, torch.nn.MultiheadAttention) else []
    if _drops_weights(module):
        conditions.append(DROPS_WEIGHTS)
    return "; ".join(conditions)


def _drops_weights(module: torch.nn.Module) -> bool:
    for name in ("dropout", "attention_dropout", "attn_drop", "attn_dropout"):
        given = getattr(module, name, 0)
        probability = getattr(given, "p", given)
        if isinstance(probability, float) and probability > 0:
            return True
    return False
