"""The end of each sequence in a padded batch."""

import torch

from dlplug.nn.last_position import last_position, lengths_of


def test_lengths_end_with_the_last_token():
    """Padding inside counts, padding behind does not, and no sequence is empty."""
    tokens = torch.tensor([[5, 6, 7], [5, 0, 0], [0, 6, 0], [0, 0, 0]])
    assert lengths_of(tokens).tolist() == [3, 1, 2, 1]


def test_the_last_position_of_each():
    """By length, or simply the last."""
    y = torch.arange(12.0).view(2, 3, 2)
    assert last_position(y, torch.tensor([1, 3])).tolist() == [[0, 1], [10, 11]]
    assert last_position(y).tolist() == [[4, 5], [10, 11]]
