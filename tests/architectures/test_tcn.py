"""tcn: what it sees, padding, and that it learns a distant dependence."""

import pytest
import torch
from torch.nn.functional import cross_entropy

from dlplug.architectures.tcn import TCN
from dlplug.errors import InvalidValueError


def test_it_sees_its_reach_of_the_past_and_nothing_later():
    """1 + 2 * (3 - 1) * (2 ** 2 - 1) = 13 positions, the last of them its own."""
    torch.manual_seed(0)
    model = TCN(1, num_features=1, per_position=True, dim=32, depth=2).eval()
    x = torch.randn(1, 30, 1, requires_grad=True)
    model(x)[0, 20, 0].backward()
    assert torch.nonzero(x.grad[0, :, 0]).flatten().tolist() == list(range(8, 21))


@pytest.mark.parametrize("per_position", [False, True])
def test_padding_changes_nothing(per_position):
    """A sequence among longer ones gives what it gives alone."""
    torch.manual_seed(0)
    model = TCN(4, 10, per_position=per_position, dim=8, depth=2).eval()
    tokens = torch.randint(1, 10, (3, 7))
    tokens[1, 4:] = 0
    together, alone = model(tokens), model(tokens[1:2, :4])
    torch.testing.assert_close(together[1, :4] if per_position else together[1], alone[0])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "architecture tcn: the size of the input is unknown"),
        ({"num_features": 1, "dim": 0}, "dim = 0"),
        ({"num_features": 1, "depth": 0}, "depth = 0"),
        ({"num_features": 1, "kernel_size": 1}, "kernel_size = 1"),
        ({"num_features": 1, "dropout": -0.1}, "dropout = -0.1"),
    ],
)
def test_values_out_of_range(arguments, message):
    """The error names the architecture and the value."""
    with pytest.raises(InvalidValueError, match=message):
        TCN(2, **arguments)


def test_it_learns_what_stood_eleven_positions_ago():
    """The class is the first of 12 tokens, of 4 kinds."""
    torch.manual_seed(0)
    model = TCN(4, 5, dim=24, depth=3)
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
    for _ in range(120):
        tokens = torch.randint(1, 5, (64, 12))
        optimizer.zero_grad()
        cross_entropy(model(tokens), tokens[:, 0] - 1).backward()
        optimizer.step()
    tokens = torch.randint(1, 5, (1000, 12))
    assert float((model(tokens).argmax(1) == tokens[:, 0] - 1).float().mean()) > 0.9
