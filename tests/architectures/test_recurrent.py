"""rnn, lstm, gru: padding, directions, carried state, and that they remember."""

import pytest
import torch
from torch.nn.functional import cross_entropy

from dlplug.architectures.recurrent import GRU, LSTM, RNN, hidden
from dlplug.errors import InvalidValueError

ALL = pytest.mark.parametrize("make", [RNN, LSTM, GRU])


@pytest.fixture(autouse=True)
def _seeded():
    torch.manual_seed(0)


@ALL
@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("per_position", [False, True])
def test_padding_changes_nothing(make, bidirectional, per_position):
    """A sequence among longer ones gives what it gives alone, in both directions."""
    model = make(
        4, 10, per_position=per_position, dim=8, depth=2, bidirectional=bidirectional
    ).eval()
    tokens = torch.randint(1, 10, (3, 7))
    tokens[1, 4:] = 0
    together, alone = model(tokens), model(tokens[1:2, :4])
    torch.testing.assert_close(together[1, :4] if per_position else together[1], alone[0])
    assert together.shape == ((3, 7, 4) if per_position else (3, 4))


@ALL
def test_series_are_read_to_both_ends(make):
    """The output for the whole is that of torch's own final states."""
    model = make(2, num_features=3, dim=5, bidirectional=True).eval()
    x = torch.randn(2, 6, 3)
    last = hidden(model.layers(x)[1])
    torch.testing.assert_close(model(x), model.head(torch.cat([last[0], last[1]], dim=1)))


@ALL
def test_one_direction_sees_no_later_position(make):
    """A change at position 4 leaves the outputs before it as they were."""
    model = make(2, num_features=3, per_position=True, is_causal=True, dim=8, depth=2).eval()
    x = torch.randn(1, 8, 3)
    changed = x.clone()
    changed[0, 4] += 1
    same = (model(x) == model(changed)).all(dim=2)[0]
    assert same.tolist() == [True] * 4 + [False] * 4


@ALL
def test_a_state_given_back_continues_the_sequence(make):
    """Two halves with the state between them give what the whole gives."""
    model = make(2, 10, per_position=True, dim=8, depth=2).eval()
    tokens = torch.randint(1, 10, (3, 8))
    first, state = model.continued(tokens[:, :4])
    second, _ = model.continued(tokens[:, 4:], state)
    torch.testing.assert_close(torch.cat([first, second], dim=1), model(tokens))


@ALL
def test_stateful_carries_a_detached_state(make):
    """The second batch goes on from the first, whose graph is gone, until it is reset."""
    model = make(2, 10, per_position=True, dim=8, stateful=True)
    tokens = torch.randint(1, 10, (3, 8))
    whole, _ = model.continued(tokens)
    halves = [model(part) for part in tokens.split(4, dim=1)]
    torch.testing.assert_close(torch.cat(halves, dim=1), whole)
    assert not hidden(model._states[True]).requires_grad
    halves[0].sum().backward()
    # The second graph does not reach into the first, which has been freed.
    halves[1].sum().backward()
    model.reset_state()
    torch.testing.assert_close(model(tokens[:, :4]), whole[:, :4])


@ALL
def test_the_state_of_training_can_be_kept(make):
    """Another network with the same weights goes on from it; the weights alone fit any batch."""
    model, other = (make(2, 10, per_position=True, dim=8, stateful=True) for _ in range(2))
    tokens = torch.randint(1, 10, (3, 8))
    assert model.training_state() is None
    model(tokens[:, :4])
    other(tokens[:2])
    other.load_state_dict(model.state_dict())
    other.set_training_state(model.training_state())
    assert torch.equal(other(tokens[:, 4:]), model(tokens[:, 4:]))
    model.eval()
    model(tokens[:, :3])
    assert torch.equal(hidden(model.training_state()), hidden(other.training_state()))


def test_evaluation_has_a_state_of_its_own():
    """A validation in the middle of an epoch leaves the training's state alone."""
    model = GRU(2, 10, per_position=True, dim=8, stateful=True)
    tokens = torch.randint(1, 10, (3, 8))
    whole, _ = model.continued(tokens)
    model(tokens[:, :4])
    model.eval()
    torch.testing.assert_close(model(tokens[:1]), whole[:1])
    model.reset_state()
    model.train()
    torch.testing.assert_close(model(tokens[:, 4:]), whole[:, 4:])
    assert not model.state_dict().keys() & {"_states"}


def test_stateful_refuses_a_change_of_streams():
    """The error says which data it needs."""
    model = LSTM(2, 10, dim=8, stateful=True)
    model(torch.ones(3, 4, dtype=torch.int64))
    with pytest.raises(InvalidValueError, match="a batch of 2 sequences follows one of 3") as error:
        model(torch.ones(2, 4, dtype=torch.int64))
    assert "contiguous: true" in str(error.value) and "the batch size that it had" in str(
        error.value
    )


def test_the_lstm_forgets_nothing_at_first():
    """The biases of the forget gate add up to 1."""
    layers = LSTM(2, 10, dim=4).layers
    assert (layers.bias_ih_l0 + layers.bias_hh_l0)[4:8].tolist() == [1] * 4


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "architecture gru: the size of the input is unknown"),
        ({"vocab_size": 9, "dim": 0}, "dim = 0"),
        ({"vocab_size": 9, "depth": 0}, "depth = 0"),
        ({"vocab_size": 9, "dropout": 1.0}, "dropout = 1.0"),
        ({"vocab_size": 9, "bidirectional": True, "is_causal": True}, "and is_causal exclude"),
        ({"vocab_size": 9, "bidirectional": True, "stateful": True}, "and stateful exclude"),
    ],
)
def test_values_out_of_range(arguments, message):
    """The error names the architecture and the value."""
    with pytest.raises(InvalidValueError, match=message):
        GRU(2, **arguments)


@ALL
def test_it_remembers_the_first_token(make):
    """The class is the first of 12 tokens, of 4 kinds; the last token says nothing about it.

    The plain network's gradient does not reach that far: it has 5 tokens.
    """
    length = 5 if make is RNN else 12
    model = make(4, 5, dim=24)
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
    for _ in range(250):
        tokens = torch.randint(1, 5, (64, length))
        optimizer.zero_grad()
        cross_entropy(model(tokens), tokens[:, 0] - 1).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    tokens = torch.randint(1, 5, (1000, length))
    assert float((model(tokens).argmax(1) == tokens[:, 0] - 1).float().mean()) > 0.9
