"""TabM by dlplug's names, and what becomes of numbers first."""

import pytest
import torch
from dlplug_tabular.ensemble import embedding_of_numbers, normal_quantiles, tabm

NUMBERS, CATEGORIES = torch.randn(6, 4), torch.randint(0, 3, (6, 2))
SMALL = {"k": 3, "n_blocks": 1, "d_block": 8}


@pytest.mark.parametrize("kind", [None, "linear", "periodic", "piecewise_linear"])
def test_each_member_gives_its_own_outputs(kind):
    """Of numbers and categories, with any embedding; the members differ."""
    outputs = tabm(5, 4, (3, 3), num_embeddings=kind, **SMALL)(NUMBERS, CATEGORIES)
    assert outputs.shape == (6, 3, 5)
    assert not torch.allclose(outputs[:, 0], outputs[:, 1])


def test_a_table_of_categories_alone():
    """There is nothing to embed."""
    assert tabm(5, cat_cardinalities=(3, 3), **SMALL)(x_cat=CATEGORIES).shape == (6, 3, 5)


@pytest.mark.parametrize("arch_type", ["tabm", "tabm-mini", "tabm-packed"])
def test_the_arguments_reach_the_library(arch_type):
    """Members, depth, width and dropout; a packed ensemble shares nothing and is larger."""
    network = tabm(5, 4, dropout=0.25, arch_type=arch_type, **SMALL).network
    rates = [module.p for module in network.modules() if isinstance(module, torch.nn.Dropout)]
    assert (network.k, rates) == (3, [0.25])
    shared = tabm(5, 4, **SMALL)
    assert (size(network) > size(shared)) == (arch_type == "tabm-packed")


def size(network):
    """Number of parameters."""
    return sum(parameter.numel() for parameter in network.parameters())


def test_bins_hold_equal_shares():
    """A million standard normal numbers fall into the inner bins alike."""
    edges = normal_quantiles(4)
    torch.manual_seed(0)
    counts = torch.histogram(torch.randn(1_000_000), edges).hist / 1_000_000
    # The share of the two outermost that lies beyond the edges is a quarter of each.
    expected = torch.tensor([0.1875, 0.25, 0.25, 0.1875])
    # Four standard deviations of a share of a million.
    torch.testing.assert_close(counts, expected, rtol=0, atol=0.002)


def test_bins_and_widths_are_those_that_were_asked_for():
    """By their arguments."""
    piecewise = embedding_of_numbers("piecewise_linear", 4, 3, 7)
    assert piecewise.get_output_shape() == (4, 3)
    assert piecewise.impl.weight.shape == (4, 7)
    assert embedding_of_numbers("periodic", 4, 5, None).get_output_shape() == (4, 5)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((None, 4, 8, None), "d_embedding = 8 has no use with num_embeddings = None"),
        (("periodic", 4, None, 8), "n_bins = 8 has no use with num_embeddings = 'periodic'"),
        (("linear", 4, 0, None), "d_embedding = 0: must be 1 or more"),
        (("linear", 0, None, None), "the table has no columns of numbers"),
    ],
)
def test_arguments_without_use_are_refused(arguments, message):
    """Nothing is accepted and ignored."""
    with pytest.raises(ValueError, match=message):
        embedding_of_numbers(*arguments)
