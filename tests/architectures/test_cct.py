"""CCT: tokens from convolutions, blocks of the vision transformer, pooling by importance."""

import pytest
import torch

from dlplug.architectures.cct import CCT
from dlplug.errors import InvalidValueError
from dlplug.ops import use_backend
from tests.architectures.proof import accuracy_after, linear_accuracy


def cct(**arguments):
    torch.manual_seed(0)
    chosen = {"dim": 16, "depth": 2, "heads": 2, "tokenizer_layers": 1} | arguments
    return CCT(num_outputs=5, in_channels=3, image_size=(8, 12), **chosen)


@pytest.mark.parametrize("backend", ["auto", "reference"])
def test_it_equals_the_paper(backend):
    """Tokens, the stream with each update added at once, and equation 3, written out."""
    model, x = cct(), torch.randn(3, 3, 8, 12)
    convolution, relu, pool = model.tokenizer
    z = pool(relu(convolution(x))).flatten(2).transpose(1, 2) + model.position_TD
    for block in model.blocks:
        z = z + block._attend(block.attention_norm(z))
        z = z + block.mlp(block.mlp_norm(z))
    z = model.norm(z)
    weight = model.importance(z).squeeze(-1).softmax(-1)
    expected = model.head(torch.einsum("bt,btd->bd", weight, z))
    with use_backend(backend):
        torch.testing.assert_close(model(x), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("layers", "tokens"), [(1, 24), (2, 6), (3, 2)])
def test_each_layer_of_the_tokeniser_halves_the_image(layers, tokens):
    """8 x 12 gives 4 x 6 tokens, then 2 x 3, then 1 x 2."""
    model = cct(tokenizer_layers=layers)
    assert model.position_TD.shape == (tokens, 16)
    assert model(torch.randn(2, 3, 8, 12)).shape == (2, 5)


def test_odd_sizes_round_up():
    """7 x 5 pixels give 4 x 3 tokens."""
    model = CCT(5, 3, image_size=(7, 5), dim=16, depth=1, heads=2, tokenizer_layers=1)
    assert model.position_TD.shape == (12, 16)
    assert model(torch.randn(2, 3, 7, 5)).shape == (2, 5)


@pytest.mark.parametrize("argument", ["dropout", "stochastic_depth"])
def test_regularisation_acts_while_training_only(argument):
    """Two passes differ in training and agree in evaluation."""
    model, x = cct(**{argument: 0.5}), torch.randn(8, 3, 8, 12)
    assert not torch.equal(model(x), model(x))
    model.eval()
    assert torch.equal(model(x), model(x))


def test_it_beats_a_linear_model():
    """Trained equally long on the same images, by more than a standard error of both (0.014)."""
    accuracy = accuracy_after(lambda: CCT(10, 1, 14, dim=48, depth=2, heads=2))
    assert accuracy > linear_accuracy() + 0.015


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"heads": 3}, "cct: dim = 16 is not divisible by heads = 3"),
        ({"depth": 0}, "depth = 0"),
        ({"tokenizer_layers": 0}, "tokenizer_layers = 0"),
        ({"kernel_size": 2}, "kernel_size = 2"),
        ({"dropout": 1.0}, "dropout = 1.0"),
        ({"stochastic_depth": 1.0}, "cct: stochastic_depth = 1.0"),
    ],
)
def test_values_out_of_range_are_refused(arguments, message):
    """The message holds the value."""
    with pytest.raises(InvalidValueError, match=message):
        cct(**arguments)
