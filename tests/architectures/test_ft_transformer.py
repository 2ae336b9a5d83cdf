"""FT-Transformer: its tokens, its inputs, and that it learns what a linear model cannot."""

import pytest
import torch

from dlplug.architectures.ft_transformer import FeatureTokenizer, FTTransformer
from dlplug.errors import InvalidValueError, ShapeError
from dlplug.losses.mse import mse
from dlplug.optim import FusedAdamW, weight_decay_groups


def test_the_tokens_follow_the_paper():
    """x_f * W_f + b_f for numbers, e_k[x] + b_k for categories, after a token of its own."""
    tokenizer = FeatureTokenizer(2, [3, 5], 4)
    x_cont, x_cat = torch.tensor([[2.0, -1.0]]), torch.tensor([[2, 4]])
    tokens = tokenizer(x_cont, x_cat)[0] - tokenizer.bias_TD
    assert not tokens[0].any()
    torch.testing.assert_close(tokens[1], 2.0 * tokenizer.weight_FD[0])
    torch.testing.assert_close(tokens[2], -1.0 * tokenizer.weight_FD[1])
    torch.testing.assert_close(tokens[3], tokenizer.embedding.weight[2])
    # The second column's indices begin after the three of the first.
    torch.testing.assert_close(tokens[4], tokenizer.embedding.weight[3 + 4])


@pytest.mark.parametrize(("features", "cardinalities"), [(3, None), (3, [2, 4]), (None, [2, 4])])
def test_it_takes_numbers_categories_or_both(features, cardinalities):
    """Rows (B, F) as the only argument do as well."""
    model = FTTransformer(5, features, cardinalities, dim=16, depth=2, heads=2)
    inputs = {}
    if features:
        inputs["x_cont"] = torch.randn(7, 3)
    if cardinalities:
        inputs["x_cat"] = torch.randint(0, 2, (7, 2))
    assert model(**inputs).shape == (7, 5)
    if not cardinalities:
        assert model(inputs["x_cont"]).shape == (7, 5)


def test_every_parameter_has_a_gradient():
    """Of numbers and categories."""
    model = FTTransformer(5, 3, [2, 4], dim=16, depth=2, heads=2)
    model(torch.randn(7, 3), torch.randint(0, 2, (7, 2))).square().sum().backward()
    lost = [name for name, p in model.named_parameters() if p.grad is None or not p.grad.any()]
    # A bias of all keys changes no attention, so its gradient may vanish, but qkv is one matrix.
    assert not lost


@pytest.mark.parametrize(("arguments", "message"), [
    ({"num_features": None}, "there must be columns"),
    ({"cat_cardinalities": [0]}, "there must be columns"),
    ({"dim": 30, "heads": 4}, "dim = 30 is not divisible by heads = 4"),
    ({"dropout": 1.0}, "dropout = 1.0"),
    ({"depth": 0}, "depth = 0"),
    ({"mlp_ratio": 0.0}, "mlp_ratio = 0.0"),
])  # fmt: skip
def test_values_out_of_range_are_refused(arguments, message):
    """The message holds the value."""
    with pytest.raises(InvalidValueError, match=message):
        FTTransformer(**({"num_outputs": 2, "num_features": 3} | arguments))


def test_it_learns_how_columns_act_together():
    """y = x1 * x2, or -x1 * x2, as a category says: no sum of functions of one column explains
    any of it, and this network most of it."""
    torch.manual_seed(0)
    x_cont, x_cat = torch.randn(2400, 2), torch.randint(0, 2, (2400, 1))
    y = x_cont.prod(dim=1, keepdim=True) * (2.0 * x_cat - 1)
    model = FTTransformer(1, 2, [2], dim=32, depth=2, heads=4, dropout=0.0)
    optimizer = FusedAdamW(weight_decay_groups(model, 1e-4), lr=3e-3)
    for _ in range(12):
        for rows in torch.randperm(2000).split(100):
            optimizer.zero_grad()
            mse(model(x_cont[rows], x_cat[rows]), y[rows]).backward()
            optimizer.step()
    model.eval()
    with torch.no_grad():
        error = mse(model(x_cont[2000:], x_cat[2000:]), y[2000:])
    # Measured: 0.97 and more with three seeds.
    assert 1 - float(error / y[2000:].var()) > 0.8


@pytest.mark.parametrize(("features", "cardinalities", "inputs"), [
    (3, None, (torch.ones(2, 3), torch.ones(2, 1).long())),
    (3, None, (torch.ones(2, 1), None)),
    (3, [2], (torch.ones(2, 3), None)),
    (None, [2, 2], (None, torch.ones(2, 1).long())),
])  # fmt: skip
def test_other_columns_are_refused(features, cardinalities, inputs):
    """One column would be spread to all, and categories that nothing reads ignored."""
    model = FTTransformer(1, features, cardinalities, dim=8, heads=2)
    with pytest.raises(ShapeError, match="columns of numbers and"):
        model(*inputs)
