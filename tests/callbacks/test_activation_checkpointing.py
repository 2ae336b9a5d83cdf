"""activation_checkpointing: the same gradients from fewer stored activations."""

import pytest
import torch
from torch import nn

from dlplug.architectures.vit import ViT
from dlplug.callbacks.activation_checkpointing import ActivationCheckpointing
from dlplug.callbacks.ema import EMA
from dlplug.errors import InvalidValueError


def vit():
    torch.manual_seed(0)
    return ViT(10, 1, 8, patch_size=4, dim=8, depth=2, heads=2, dropout=0.2, stochastic_depth=0.2)


def test_weights_are_the_same_bit_by_bit(task, fit):
    """With dropout and stochastic depth, after ten steps; names and modules stay as they were."""
    plain = task(vit())
    fit(plain, EMA(0.9))
    module = task(vit())
    fit(module, ActivationCheckpointing(["blocks.*"]), EMA(0.9))
    torch.testing.assert_close(module.state_dict(), plain.state_dict(), rtol=0, atol=0)
    assert "forward" not in vars(module.architecture.blocks[0])


def test_fewer_activations_are_kept(task):
    """The bytes that the graph of one batch holds until the backward pass."""

    def kept(callback):
        module = task(vit())
        if callback:
            callback.setup(None, module, "fit")
        sizes = {}

        def pack(tensor):
            sizes[tensor.data_ptr()] = tensor.numel() * tensor.element_size()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            module.architecture(torch.zeros(64, 1, 8, 8)).sum()
        return sum(sizes.values())

    assert kept(ActivationCheckpointing(["blocks.*"])) < kept(None) / 2


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ActivationCheckpointing([]), "modules = []"),
        (lambda: ActivationCheckpointing(["block.*"]), "is named 'block.*'"),
        (lambda: ActivationCheckpointing(["1"]), "1 holds a BatchNorm (0), which would count"),
    ],
)
def test_bad_patterns_are_refused(task, fit, make, message):
    """None, an unknown one, and a module with running statistics."""
    part = nn.Sequential(nn.BatchNorm1d(64), nn.Linear(64, 10))
    with pytest.raises(InvalidValueError) as error:
        fit(task(nn.Sequential(nn.Flatten(), part)), make())
    assert message in str(error.value)
