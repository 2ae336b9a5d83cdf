"""MONAI's segmentation networks in two dimensions, each made by one call of `planar`."""

import inspect
from collections.abc import Callable, Mapping
from math import prod
from typing import Any

from monai.networks.nets import (
    UNETR,
    AttentionUnet,
    DynUNet,
    SegResNet,
    SwinUNETR,
    UNet,
)
from torch import nn

from dlplug_monai.padded import Padded
from dlplug_monai.signature import options_of

Options = Mapping[str, Any]
FIXED = ("spatial_dims", "in_channels", "out_channels")


def planar(
    owner: type[nn.Module],
    about: str,
    shrinking: Callable[[Options], int],
    left_out: tuple[str, ...] = (),
    **defaults: Any,
) -> Callable[..., nn.Module]:
    """An architecture: ``owner`` with two spatial dimensions, for images of any size.

    Args:
        owner: A class of MONAI with the parameters in `FIXED`.
        about: First line of the docstring, and the source.
        shrinking: ``shrinking(options)``: how many pixels of a side become one at most.
        left_out: Options that would change the form of the output, or that no config can write.
        defaults: For options that have none, or another one.
    """
    options = options_of(owner, (*FIXED, *left_out), defaults)
    names = [option.name for option in options]

    def build(num_outputs: int, in_channels: int, **given: Any) -> nn.Module:
        chosen = defaults | given
        needed = {o.name: o.default for o in options if o.default is not o.empty} | chosen
        step = shrinking(needed)
        if "img_size" in names:
            # UNETR is made for one size: that of the padded image.
            sides = needed["img_size"]
            sides = (sides, sides) if isinstance(sides, int) else sides
            chosen["img_size"] = [Padded.side(side, step) for side in sides]
        network = owner(spatial_dims=2, in_channels=in_channels, out_channels=num_outputs, **chosen)
        for name, parameter in network.named_parameters():
            if ".norm_cross_attn." in name:
                # MONAI 1.6: blocks hold it even without cross-attention, and processes that train
                # together would wait for its gradient.
                parameter.requires_grad_(False)
        return Padded(network, step)

    own = [p for p in inspect.signature(build).parameters.values() if p.kind is not p.VAR_KEYWORD]
    build.__signature__ = inspect.Signature([*own, *options])
    build.__doc__ = (
        f"{about}\n\n    Images ``(B, in_channels, H, W)`` to scores of each pixel.\n\n"
        "    Args:\n        num_outputs: Scores for each pixel.\n"
        "        in_channels: Channels of an image.\n"
        f"        given: See MONAI's ``{owner.__name__}``, whose arguments they are.\n    "
    )
    return build


def _product_of_strides(options: Options) -> int:
    return prod(
        max(stride) if isinstance(stride, (list, tuple)) else stride
        for stride in options["strides"]
    )


monai_unet = planar(
    UNet,
    "MONAI's U-Net with residual units: Kerfoot et al. 2019, doi:10.1007/978-3-030-12029-0_40.",
    _product_of_strides,
    channels=(16, 32, 64),
    strides=(2, 2),
    num_res_units=2,
)
monai_attention_unet = planar(
    AttentionUnet,
    "U-Net whose skips are weighed by attention gates: Oktay et al. 2018, arXiv:1804.03999.",
    _product_of_strides,
    channels=(16, 32, 64),
    strides=(2, 2),
)
monai_dynunet = planar(
    DynUNet,
    "The network of nnU-Net: Isensee et al. 2021, arXiv:1904.08128.",
    _product_of_strides,
    ("deep_supervision", "deep_supr_num"),
    kernel_size=(3, 3, 3),
    strides=(1, 2, 2),
    upsample_kernel_size=(2, 2),
)
monai_segresnet = planar(
    SegResNet,
    "Residual encoder and decoder: Myronenko 2018, arXiv:1810.11654, without its autoencoder.",
    lambda options: 2 ** (len(options["blocks_down"]) - 1),
)
monai_unetr = planar(
    UNETR,
    "Vision transformer with a convolutional decoder: Hatamizadeh et al. 2022, arXiv:2103.10504.",
    lambda options: 16,
)
monai_swin_unetr = planar(
    SwinUNETR,
    "Swin transformer with a convolutional decoder: Hatamizadeh et al. 2022, arXiv:2201.01266.",
    lambda options: options["patch_size"] * 16,
    ("norm_layer",),
)
