"""A small one of every built-in architecture, and a batch of inputs for it."""

import torch
from torch import Tensor, nn

from dlplug.plugin.builtins import COMPONENTS
from dlplug.plugin.targets import import_target

IMAGES = {"in_channels": 1}
SERIES = {"num_features": 3}
ARGUMENTS = {
    "mlp": {"num_features": 64, "hidden": [8, 8]},
    "vit": {**IMAGES, "image_size": 8, "dim": 8, "depth": 2, "heads": 2},
    "resnet": {**IMAGES, "widths": [4, 8], "depths": [2, 1]},
    "separable_cnn": {**IMAGES, "widths": [4, 8, 8]},
    "convnext": {**IMAGES, "dims": [4, 8], "depths": [1, 1], "kernel_size": 3},
    "unet": {**IMAGES, "widths": [4, 8, 8]},
    "cct": {**IMAGES, "image_size": 8, "dim": 8, "depth": 2, "heads": 2},
    "ft_transformer": {**SERIES, "cat_cardinalities": [4], "dim": 8, "depth": 2, "heads": 2},
    "rnn": {**SERIES, "dim": 8, "depth": 2},
    "lstm": {"vocab_size": 9, "dim": 8, "depth": 2, "bidirectional": True},
    "gru": {**SERIES, "dim": 8, "depth": 2},
    "tcn": {**SERIES, "dim": 8, "depth": 2},
    "encoder_decoder": {"vocab_size": 9, "dim": 8, "depth": 2, "heads": 2},
    "transformer": {"vocab_size": 9, "dim": 8, "depth": 2, "heads": 2},
}
NAMES = sorted(COMPONENTS["architectures"])


def built(name: str, **more) -> nn.Module:
    """With ten outputs; the weights follow from a fixed seed."""
    torch.manual_seed(0)
    architecture = import_target(COMPONENTS["architectures"][name][0])
    return architecture(num_outputs=10, **ARGUMENTS[name], **more)


def inputs_of(name: str) -> dict[str, Tensor]:
    """Arguments of its ``forward``, for four records."""
    arguments = ARGUMENTS[name]
    torch.manual_seed(0)
    if name == "encoder_decoder":
        return {"source": torch.randint(1, 9, (4, 5)), "target": torch.randint(1, 9, (4, 6))}
    if name == "ft_transformer":
        return {"x_cont": torch.randn(4, 3), "x_cat": torch.randint(0, 4, (4, 1))}
    if name == "mlp":
        return {"x": torch.randn(4, 64)}
    if "in_channels" in arguments:
        return {"x_BCHW": torch.randn(4, 1, 8, 8)}
    return {"x": torch.randint(1, 9, (4, 5)) if "vocab_size" in arguments else torch.randn(4, 5, 3)}
