"""beam_search: greedy, wider, normalised by length, with and without a memory."""

from itertools import product

import pytest
import torch
from torch import nn

from dlplug.architectures.encoder_decoder import EncoderDecoder
from dlplug.errors import InvalidValueError
from dlplug.tasks.beam_search import beam_search

START, END = 1, 2


class Chain(nn.Module):
    """The next token depends on the last one, by a table of probabilities."""

    def __init__(self, table):
        super().__init__()
        self.scores = torch.tensor(table).log()

    def forward(self, source, target):
        return self.scores[target]


# Tokens: padding, start, end, a, b. Greedy takes a and then anything; b ends at once, surely.
TEMPTING = [
    [0.2, 0.2, 0.2, 0.2, 0.2],
    [0.0, 0.0, 0.0, 0.6, 0.4],
    [0.2, 0.2, 0.2, 0.2, 0.2],
    [0.0, 0.0, 0.34, 0.33, 0.33],
    [0.0, 0.0, 1.0, 0.0, 0.0],
]
SOURCE = torch.ones(2, 3, dtype=torch.int64)


def test_one_beam_is_greedy_and_two_find_better():
    """0.6 * 0.34 < 0.4 * 1."""
    assert beam_search(Chain(TEMPTING), SOURCE, START, END, 2).tolist() == [[3, END]] * 2
    assert beam_search(Chain(TEMPTING), SOURCE, START, END, 2, 2).tolist() == [[4, END]] * 2


def test_length_decides_where_the_sums_favour_the_short():
    """Ending at once has 0.4; going on twice has 0.6 * 0.6, and more for each token."""
    table = [[0.2] * 5, [0.0, 0.0, 0.4, 0.6, 0.0], [0.2] * 5, [0.0, 0.0, 0.6, 0.2, 0.2], [0.2] * 5]
    short = beam_search(Chain(table), SOURCE[:1], START, END, 3, 3, length_penalty=0.0)
    long = beam_search(Chain(table), SOURCE[:1], START, END, 3, 3, length_penalty=1.0)
    assert short[0, 0] == END and long[0, :2].tolist() == [3, END]


def random_network():
    torch.manual_seed(0)
    return EncoderDecoder(6, 6, dim=8, depth=1, heads=2).eval()


@torch.no_grad()
def test_all_beams_find_the_best_of_all_sequences():
    """With a beam for each sequence there is, it is an exhaustive search."""
    network, source = random_network(), torch.tensor([[3, 4, 5]])
    best, best_rank = None, -torch.inf
    for length in (1, 2, 3):
        for middle in product((3, 4, 5), repeat=length - 1):
            for last in (END, 3, 4, 5) if length == 3 else (END,):
                tokens = torch.tensor([[START, *middle, last]])
                scores = network(source, tokens[:, :-1])[0]
                scores[:, [0, START]] = -torch.inf
                logs = scores.log_softmax(dim=-1)
                rank = float(logs.gather(1, tokens[0, 1:, None]).sum()) / length
                if rank > best_rank:
                    best, best_rank = tokens[0, 1:].tolist(), rank
    found = beam_search(network, source, START, END, 3, beams=36)[0].tolist()
    assert [token for token in found if token] == best


@torch.no_grad()
@pytest.mark.parametrize("beams", [1, 3])
def test_a_memory_changes_nothing(beams):
    """Nor does it matter what else is in the batch."""
    network, source = random_network(), torch.tensor([[3, 4, 5, 5], [4, 3, 0, 0]])
    with_memory = beam_search(network, source, START, END, 5, beams)

    class Plain(nn.Module):
        def forward(self, source, target):
            return network(source, target)

    torch.testing.assert_close(with_memory, beam_search(Plain(), source, START, END, 5, beams))
    alone = beam_search(network, source[1:, :2], START, END, 5, beams)
    width = alone.shape[1]
    assert with_memory[1, :width].tolist() == alone[0].tolist()
    assert not with_memory[1, width:].any()


@pytest.mark.parametrize("arguments", [{"beams": 0}, {"length_penalty": -1.0}, {"max_length": 0}])
def test_values_out_of_range(arguments):
    """The error names them."""
    with pytest.raises(InvalidValueError, match=f"beam search: .*{next(iter(arguments))} = "):
        beam_search(Chain(TEMPTING), SOURCE, START, END, **({"max_length": 2} | arguments))
