"""encoder_decoder: what sees what, the memory, and that it learns to reverse."""

import pytest
import torch
from torch.nn.functional import cross_entropy

from dlplug.architectures.encoder_decoder import EncoderDecoder
from dlplug.errors import InvalidValueError
from dlplug.tasks.beam_search import beam_search


def model(**arguments):
    torch.manual_seed(0)
    return EncoderDecoder(9, 9, **({"dim": 16, "depth": 2, "heads": 2} | arguments)).eval()


def tokens(*shape):
    return torch.randint(3, 9, shape)


def test_padding_of_the_source_changes_nothing():
    """A source among longer ones gives what it gives alone."""
    network, source, target = model(), tokens(3, 7), tokens(3, 5)
    source[1, 4:] = 0
    alone = network(source[1:2, :4], target[1:2])
    torch.testing.assert_close(network(source, target)[1:2], alone)


def test_no_position_sees_a_later_one():
    """A change of target token 3 leaves the scores before it; one of the source changes all."""
    network, source, target = model(), tokens(1, 6), tokens(1, 6)
    before = network(source, target)
    changed = target.clone()
    changed[0, 3] = 12 - changed[0, 3] - 1
    same = torch.isclose(network(source, changed), before, atol=1e-6).all(dim=2)[0]
    assert same.tolist() == [True] * 3 + [False] * 3
    other = source.clone()
    other[0, 5] = 12 - other[0, 5] - 1
    assert not torch.isclose(network(other, target), before, atol=1e-6).all(dim=2).any()


def test_a_memory_gives_the_same_scores():
    """Token by token, also for rows that are chosen in between."""
    network, source, target = model(), tokens(3, 7), tokens(3, 5)
    source[2, 5:] = 0
    whole = network(source, target)
    memory = network.memory(source, room=5)
    first = network.next_scores(target[:, :2], memory)
    torch.testing.assert_close(first, whole[:, :2])
    rows = torch.tensor([2, 0])
    memory = memory.select(rows)
    steps = [network.next_scores(target[rows, i : i + 1], memory) for i in range(2, 5)]
    torch.testing.assert_close(torch.cat(steps, dim=1), whole[rows, 2:])
    with pytest.raises(InvalidValueError, match=r"5 \+ 1 positions, and the memory has room for 5"):
        network.next_scores(target[rows, :1], memory)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"heads": 3}, "dim = 16, heads = 3"),
        ({"heads": 16}, "dim = 16, heads = 16"),
        ({"depth": 0}, "depth = 0"),
        ({"dropout": 1.0}, "dropout = 1.0"),
        ({"mlp_ratio": 0.0}, "mlp_ratio = 0.0"),
    ],
)
def test_values_out_of_range(arguments, message):
    """The error names the value."""
    with pytest.raises(InvalidValueError, match=f"architecture encoder_decoder: .*{message}"):
        model(**arguments)


def test_it_learns_to_reverse():
    """Three to five tokens, written backwards to the last one; copying gets almost none."""
    network = model(dim=32, depth=1, dropout=0.0).train()
    optimizer = torch.optim.Adam(network.parameters(), lr=5e-3)

    def batch(count):
        source = tokens(count, 5)
        lengths = torch.randint(3, 6, (count, 1))
        source[torch.arange(5) >= lengths] = 0
        order = (lengths - 1 - torch.arange(6)).clamp(min=0, max=4)
        written = source.gather(1, order)
        written[torch.arange(6) >= lengths] = 0
        written.scatter_(1, lengths, 2)
        return source, written

    for _ in range(250):
        source, written = batch(64)
        target = torch.cat([torch.ones(64, 1, dtype=torch.int64), written[:, :-1]], dim=1)
        optimizer.zero_grad()
        scores = network(source, target)
        cross_entropy(scores.flatten(0, 1), written.flatten(), ignore_index=0).backward()
        optimizer.step()
    source, written = batch(200)
    with torch.no_grad():
        found = beam_search(network.eval(), source, 1, 2, 6)
    found = torch.nn.functional.pad(found, (0, 6 - found.shape[1]))
    copied = (source == written[:, :5].masked_fill(written[:, :5] == 2, 0)).all(dim=1)
    right = (found == written).all(dim=1)
    assert float(copied.float().mean()) < 0.15 and float(right.float().mean()) > 0.5
