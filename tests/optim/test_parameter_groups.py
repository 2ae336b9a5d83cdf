"""Tests of dlplug/optim/parameter_groups.py."""

import pytest
import torch
from torch import nn

from dlplug.errors import InvalidValueError
from dlplug.optim import weight_decay_groups


class Model(nn.Module):
    """An embedding tied to the output, a convolution, norms of one and of several axes."""

    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(7, 4)
        self.bags = nn.EmbeddingBag(3, 4)
        self.conv = nn.Conv2d(4, 4, 3)
        self.norm = nn.LayerNorm(4)
        self.image_norm = nn.LayerNorm((4, 5, 5))
        self.scale = nn.Parameter(torch.ones(()))
        self.hidden = nn.Linear(4, 4)
        self.shared = self.hidden
        self.head = nn.Linear(4, 7)
        self.head.weight = self.embed.weight


def names(model: nn.Module, group: dict) -> set[str]:
    by_id = {id(parameter): name for name, parameter in model.named_parameters()}
    return {by_id[id(parameter)] for parameter in group["params"]}


def test_matrices_are_decayed_and_the_rest_is_not():
    """Weights of two and more dimensions decay; biases, norms, scalars and embeddings do not."""
    model = Model()
    decayed, kept = weight_decay_groups(model, 0.1)
    assert names(model, decayed) == {"conv.weight", "hidden.weight"}
    assert names(model, kept) == {
        "embed.weight",
        "bags.weight",
        "conv.bias",
        "norm.weight",
        "norm.bias",
        "image_norm.weight",
        "image_norm.bias",
        "scale",
        "hidden.bias",
        "head.bias",
    }
    assert (decayed["weight_decay"], kept["weight_decay"]) == (0.1, 0.0)


def test_each_parameter_appears_once():
    """Shared and tied parameters are taken once, frozen ones too, in the module's order."""
    model = Model()
    model.hidden.weight.requires_grad_(False)
    found = [id(p) for group in weight_decay_groups(model, 0.1) for p in group["params"]]
    assert sorted(found) == sorted(id(p) for p in model.parameters())
    order = [id(p) for p in model.parameters()]
    for group in weight_decay_groups(model, 0.1):
        positions = [order.index(id(p)) for p in group["params"]]
        assert positions == sorted(positions)


def test_a_parametrised_embedding_is_still_an_embedding():
    """The parameters that an embedding's weight is computed from are not decayed."""
    model = nn.Sequential(nn.utils.parametrizations.weight_norm(nn.Embedding(5, 3)))
    (group,) = weight_decay_groups(model, 0.1)
    assert group["weight_decay"] == 0.0
    assert len(group["params"]) == 2


@pytest.mark.parametrize(
    ("module", "expected"),
    [(nn.Linear(2, 2, bias=False), [0.3]), (nn.LayerNorm(2), [0.0]), (nn.ReLU(), [])],
)
def test_a_group_without_parameters_is_left_out(module, expected):
    """Optimizers get no empty group."""
    assert [group["weight_decay"] for group in weight_decay_groups(module, 0.3)] == expected


@pytest.mark.parametrize("decay", [-0.1, float("nan"), float("inf")])
def test_a_decay_that_is_no_decay_is_refused(decay):
    """PyTorch does not look at the decay of a group; a negative one would grow the weights."""
    with pytest.raises(InvalidValueError, match="weight_decay is"):
        weight_decay_groups(nn.Linear(2, 2), decay)


def test_the_groups_train():
    """An optimizer takes the groups, and without gradients' push only the matrix shrinks."""
    model = nn.Linear(2, 2)
    optimizer = torch.optim.AdamW(weight_decay_groups(model, 0.5), lr=0.1)
    before = {name: value.detach().clone() for name, value in model.named_parameters()}
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    torch.testing.assert_close(model.weight.detach(), before["weight"] * 0.95)
    torch.testing.assert_close(model.bias.detach(), before["bias"])
