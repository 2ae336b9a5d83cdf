"""The options of x-transformers as parameters that a config can be checked against.

The library spreads its options over the constructors of four classes and joins them by prefixes and
``**kwargs``, in which a misspelt one is found late or never. Here they are read from the installed
version's signatures: what it adds or drops is there or gone at once.
"""

import inspect
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from torch import nn
from x_transformers import Attention, FeedForward
from x_transformers.x_transformers import AttentionLayers

from dlplug.errors import InvalidValueError

# Further inputs at every call, or a second sequence, which tasks do not give.
NEEDS_MORE_INPUTS = {
    *("cross_attend", "only_cross", "cross_residual_attn", "cross_attn_tokens_dropout"),
    *("use_adaptive_layernorm", "use_adaptive_rmsnorm", "use_adaptive_layerscale"),
    *("dim_condition", "adaptive_condition_mlp", "adaptive_condition_mlp_expansion"),
}
# Given by the network that the layer stands in, or an object that no config can write.
DECIDED_ELSEWHERE = {
    *("dim", "depth", "heads", "causal", "verbose"),
    *("attn_dim", "attn_heads", "attn_causal", "attn_dim_context", "attn_dim_out", "ff_dim"),
    *("attn_qkv_receive_diff_residuals", "attn_learned_value_residual_mix"),
    *("attn_rotate_num_heads", "attn_output_proj_depth", "ff_output_proj_depth", "ff_dim_out"),
    *("attn_inverted_attention", "attn_custom_attn_fn", "ff_custom_activation"),
    *("attn_hybrid_module", "attn_hybrid_mask_kwarg", "attn_hybrid_fold_axial_dim"),
    "attn_hybrid_learned_mix",
}


def layer_options() -> dict[str, inspect.Parameter]:
    """Options of the stack of layers, of its attention (``attn_``) and networks (``ff_``)."""
    found = {}
    for owner, prefix in ((AttentionLayers, ""), (Attention, "attn_"), (FeedForward, "ff_")):
        found |= options_of(owner, prefix, NEEDS_MORE_INPUTS | DECIDED_ELSEWHERE)
    return found


def options_of(
    owner: type[nn.Module], prefix: str, left_out: Iterable[str]
) -> dict[str, inspect.Parameter]:
    """The parameters of a constructor that have a default, as keyword-only parameters.

    Args:
        owner: A class of the library.
        prefix: Before every name.
        left_out: Names, with the prefix, that a config does not set.
    """
    left_out = set(left_out)
    found = {}
    for parameter in inspect.signature(owner).parameters.values():
        name = prefix + parameter.name
        has_default = parameter.default is not inspect.Parameter.empty
        if has_default and name not in left_out:
            found[name] = inspect.Parameter(
                name,
                inspect.Parameter.KEYWORD_ONLY,
                default=parameter.default,
                annotation=_type_of(parameter),
            )
    return found


def with_options(*groups: Mapping[str, inspect.Parameter]) -> Callable[[Callable], Callable]:
    """Decorate a function of ``**options``: in its signature stand the options themselves."""

    def decorate(function: Callable) -> Callable:
        signature = inspect.signature(function)
        own = [p for p in signature.parameters.values() if p.kind is not p.VAR_KEYWORD]
        added = {name: p for group in groups for name, p in group.items()}
        function.__signature__ = signature.replace(parameters=[*own, *added.values()])
        return function

    return decorate


def divided(options: Mapping[str, Any], *groups: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Those of ``options`` that belong to each group."""
    for group in groups:
        yield {name: value for name, value in options.items() if name in group}


@contextmanager
def refusals(architecture: str) -> Iterator[None]:
    """Give what the library raises at options a place and, where it has no words, the line.

    Raises:
        InvalidValueError: x-transformers cannot be built with the options.
    """
    try:
        yield
    except Exception as error:
        # It checks little: 0 heads are a division by zero, words for a number a failing comparison.
        line = traceback.extract_tb(error.__traceback__)[-1].line or type(error).__name__
        raise InvalidValueError(
            f"architecture {architecture}: x-transformers refuses these options together:"
            f" {str(error) or line}"
        ) from error


def _type_of(parameter: inspect.Parameter) -> Any:
    if parameter.annotation is not inspect.Parameter.empty:
        return parameter.annotation
    kind = type(parameter.default)
    # The library writes 4 for what may be 2.5 as well.
    return {bool: bool, str: str, float: float, int: int | float}.get(kind, parameter.empty)
