"""x-transformers' encoder over the patches of an image."""

from typing import Any

from torch import nn
from x_transformers import Encoder, ViTransformerWrapper

from dlplug_xtransformers.options import (
    divided,
    layer_options,
    options_of,
    refusals,
    with_options,
)

LAYERS = layer_options()
WRAPPER = options_of(ViTransformerWrapper, "", ("channels", "num_classes"))


@with_options(WRAPPER, LAYERS)
def x_vit(
    num_outputs: int,
    in_channels: int,
    image_size: int,
    patch_size: int = 4,
    dim: int = 128,
    depth: int = 6,
    heads: int = 4,
    **options: Any,
) -> nn.Module:
    """Square images ``(B, C, H, W)`` to outputs ``(B, num_outputs)``, the mean over the patches.

    Args:
        num_outputs: Width of the output.
        in_channels: C.
        image_size: H = W, a multiple of ``patch_size``.
        patch_size: Pixels of a patch's side.
        dim: Width of a patch's token.
        depth: Number of blocks.
        heads: Attention heads.
        options: Those of x-transformers' ``ViTransformerWrapper`` and ``Encoder``, by its names.
    Raises:
        InvalidValueError: the library refuses options.
    """
    wrapper, layers = divided(options, WRAPPER, LAYERS)
    with refusals("x_vit"):
        return ViTransformerWrapper(
            image_size=image_size,
            patch_size=patch_size,
            channels=in_channels,
            num_classes=num_outputs,
            attn_layers=Encoder(dim=dim, depth=depth, heads=heads, verbose=False, **layers),
            **wrapper,
        )
