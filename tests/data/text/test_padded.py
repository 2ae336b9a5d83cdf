"""Padded records: batches as wide as their longest record."""

import torch

from dlplug.data.text.padded import PaddedInputs, PaddedRecords, padded


def test_sequences_are_padded_and_cut():
    """To one length."""
    assert padded([[5, 6, 7], [8], []], 2).tolist() == [[5, 6], [8, 0], [0, 0]]
    assert padded([[1]], 3, -100).tolist() == [[1, -100, -100]]


def test_batches_are_as_wide_as_their_longest_record():
    """Tokens and labels of tokens; classes stay; padding alone keeps one column."""
    tokens = padded([[5, 6, 7], [8], []], 4)
    labels = padded([[1, 0, 1], [1], []], 4, -100)
    found, wanted = PaddedRecords(tokens, labels).__getitems__([1, 0])
    assert found.tolist() == [[8, 0, 0], [5, 6, 7]] and found.dtype == torch.int64
    assert wanted.tolist() == [[1, -100, -100], [1, 0, 1]] and wanted.dtype == torch.int64
    found, wanted = PaddedRecords(tokens, torch.arange(3)).__getitems__([1])
    assert found.tolist() == [[8]] and wanted.tolist() == [1]
    assert PaddedInputs(tokens).__getitems__([2]).tolist() == [[0]]
    assert PaddedInputs(tokens).__getitems__([0, 1]).shape == (2, 3)
