"""MONAI's networks in two dimensions."""

import pytest
import torch
from dlplug_monai import networks
from dlplug_monai.networks import FIXED, monai_dynunet, monai_segresnet, monai_unet, monai_unetr
from monai.networks.nets import SegResNet

from dlplug.config.parameters import parameters_of, takes_anything

SWIN = {"depths": (1, 1, 1, 1), "num_heads": (1, 1, 1, 1), "feature_size": 12, "window_size": 2}
SMALL = {
    "monai_unet": {"channels": (4, 8, 8), "strides": (2, 2)},
    "monai_attention_unet": {"channels": (4, 8), "strides": (2,)},
    "monai_dynunet": {"filters": (4, 8, 8)},
    "monai_segresnet": {"blocks_down": (1, 1), "blocks_up": (1,)},
    "monai_unetr": {
        "img_size": (21, 34),
        "feature_size": 4,
        "hidden_size": 16,
        "mlp_dim": 16,
        "num_heads": 2,
    },
    "monai_swin_unetr": SWIN,
}


@pytest.mark.parametrize("name", SMALL)
def test_images_of_any_size_get_a_score_for_each_pixel(name):
    """Sides that no network can halve, and images as small as one step; training and evaluating."""
    network = getattr(networks, name)(3, 2, **SMALL[name])
    sizes = [(21, 34)] if "img_size" in SMALL[name] else [(21, 34), (network.step, 5)]
    for height, width in sizes:
        scores = network(torch.randn(2, 2, height, width))
        assert scores.shape == (2, 3, height, width)
        scores.square().mean().backward()


@pytest.mark.parametrize("name", SMALL)
def test_the_arguments_are_monais_own(name):
    """All by name, none that the data or the plugin decides, each with a type."""
    architecture = getattr(networks, name)
    parameters = {parameter.name: parameter for parameter in parameters_of(architecture)}
    assert not takes_anything(architecture)
    assert {"num_outputs", "in_channels", *SMALL[name]} <= parameters.keys()
    assert not (set(FIXED) - {"in_channels"}) & parameters.keys()
    required = {n for n, p in parameters.items() if p.is_required}
    assert required - {"img_size"} == {"num_outputs", "in_channels"}


def test_the_network_is_monais():
    """The same weights give the same scores, where nothing has to be padded."""
    images = torch.randn(2, 2, 16, 16)
    ours = monai_segresnet(3, 2, **SMALL["monai_segresnet"]).eval()
    theirs = SegResNet(spatial_dims=2, in_channels=2, out_channels=3, **SMALL["monai_segresnet"])
    theirs.load_state_dict(ours.network.state_dict())
    torch.testing.assert_close(ours(images), theirs.eval()(images))


def test_a_margin_of_the_image_s_edge_is_cut_off_again():
    """Padding by hand gives the same scores."""
    network = monai_unet(3, 2, **SMALL["monai_unet"]).eval()
    image = torch.randn(1, 2, 10, 9)
    by_hand = torch.nn.functional.pad(image, (0, 3, 0, 2), mode="replicate")
    torch.testing.assert_close(network(image), network(by_hand)[:, :, :10, :9])


@pytest.mark.parametrize(
    ("made", "arguments", "step"),
    [
        (monai_unet, {"channels": (4, 8, 8, 8), "strides": (2, 2, 2)}, 8),
        (monai_dynunet, {"filters": (4, 8, 8), "strides": (1, 2, [2, 2])}, 4),
        (monai_segresnet, {"blocks_down": (1, 1, 1), "blocks_up": (1, 1)}, 4),
        (networks.monai_swin_unetr, SWIN, 32),
        (monai_unetr, SMALL["monai_unetr"], 16),
    ],
)
def test_the_step_follows_from_the_arguments(made, arguments, step):
    """So that the margin is no larger than it must be."""
    assert made(3, 2, **arguments).step == step
