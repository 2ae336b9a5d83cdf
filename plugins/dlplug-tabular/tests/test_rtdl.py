"""The networks of rtdl_revisiting_models by dlplug's names."""

import pytest
import rtdl_revisiting_models as rtdl
import torch
from dlplug_tabular.rtdl import rtdl_ft_transformer, rtdl_mlp, rtdl_resnet

NUMBERS, CATEGORIES = torch.randn(6, 4), torch.randint(0, 3, (6, 2))


def with_weights_of(network, source):
    """The library's own network with the weights of ours."""
    network.load_state_dict(source.state_dict())
    return network.eval()


def test_the_mlp_is_the_librarys():
    """Every argument reaches its place."""
    ours = rtdl_mlp(3, 4, n_blocks=2, d_block=5, dropout=0.3).eval()
    theirs = rtdl.MLP(d_in=4, d_out=3, n_blocks=2, d_block=5, dropout=0.3)
    torch.testing.assert_close(ours(NUMBERS), with_weights_of(theirs, ours)(NUMBERS))
    assert ours.blocks[0].dropout.p == 0.3


@pytest.mark.parametrize(
    ("given", "hidden"), [({}, 10), ({"d_hidden": 7}, 7), ({"d_hidden_multiplier": 3.0}, 15)]
)
def test_the_width_within_a_block_is_said_in_one_of_two_ways(given, hidden):
    """By itself, as a multiple, or as twice the width where nothing is said."""
    network = rtdl_resnet(3, 4, n_blocks=1, d_block=5, dropout1=0.3, dropout2=0.2, **given)
    block = network.blocks[0]
    assert block.linear1.weight.shape == (hidden, 5)
    assert (block.dropout1.p, block.dropout2.p) == (0.3, 0.2)
    assert network(NUMBERS).shape == (6, 3)


def test_both_ways_at_once_are_refused():
    """The library's own error is let through; dlplug names the architecture."""
    with pytest.raises(ValueError, match="d_hidden_multiplier must be None"):
        rtdl_resnet(3, 4, d_hidden=7, d_hidden_multiplier=2.0)


@pytest.mark.parametrize("present", [("x_cont",), ("x_cat",), ("x_cont", "x_cat")])
def test_the_ft_transformer_takes_what_a_table_has(present):
    """Numbers, categories, or both, by the names of dlplug's batches."""
    inputs = {"x_cont": NUMBERS, "x_cat": CATEGORIES}
    inputs = {name: inputs[name] for name in present}
    network = rtdl_ft_transformer(
        5,
        4 if "x_cont" in present else None,
        (3, 3) if "x_cat" in present else None,
        d_block=8,
        n_blocks=1,
        attention_n_heads=2,
    ).eval()
    expected = network.network(inputs.get("x_cont"), inputs.get("x_cat"))
    torch.testing.assert_close(network(**inputs), expected)
    assert expected.shape == (6, 5)


def test_rows_are_numbers():
    """What a table without indices of categories gives: one tensor, by position."""
    network = rtdl_ft_transformer(5, 4, d_block=8, n_blocks=1, attention_n_heads=2).eval()
    torch.testing.assert_close(network(NUMBERS), network(x_cont=NUMBERS))


def test_the_rates_of_dropout_reach_their_places():
    """Three of them, and the width of the network within a block."""
    network = rtdl_ft_transformer(
        5,
        4,
        n_blocks=1,
        d_block=6,
        attention_n_heads=2,
        attention_dropout=0.1,
        ffn_d_hidden_multiplier=3.0,
        ffn_dropout=0.2,
        residual_dropout=0.3,
    )
    block = network.network.backbone.blocks[0]
    rates = (block["attention"].dropout.p, block["ffn"].dropout.p, block["ffn_residual_dropout"].p)
    assert rates == (0.1, 0.2, 0.3)
    assert block["ffn"].linear2.weight.shape == (6, 18)
