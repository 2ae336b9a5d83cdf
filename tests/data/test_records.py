"""Data sets in memory: whole batches of tensors, mappings and tuples."""

import torch

from dlplug.data.records import ArrayRecords, Records

NUMBERS = torch.arange(12.0).reshape(6, 2)
TARGETS = torch.arange(6)


def test_a_batch_is_the_same_rows_of_every_tensor():
    """Mappings and tuples are gathered part by part, through the subset's indices."""
    subset = torch.tensor([5, 3, 1])
    for inputs in ({"a": NUMBERS, "b": TARGETS}, (NUMBERS, TARGETS)):
        batch, targets = Records(inputs, TARGETS, subset).__getitems__([0, 2])
        parts = list(batch.values()) if isinstance(inputs, dict) else list(batch)
        assert type(batch) is type(inputs)
        assert parts[0].tolist() == [[10, 11], [2, 3]] and parts[1].tolist() == [5, 1]
        assert targets.tolist() == [5, 1]


def test_the_digest_tells_content_and_order():
    """Equal records give equal digests; another order, target or input does not."""
    first = Records(NUMBERS, TARGETS).digest()
    assert first == Records(NUMBERS.clone(), TARGETS.clone()).digest()
    assert first != Records(NUMBERS, TARGETS, torch.arange(5, -1, -1)).digest()
    assert first != Records(NUMBERS, TARGETS + 1).digest()
    assert first != Records(NUMBERS + 1, TARGETS).digest()


def test_inputs_alone_give_batches_of_inputs():
    """As for predictions."""
    data = ArrayRecords({"a": NUMBERS})
    assert len(data) == 6 and data.__getitems__([1])["a"].tolist() == [[2, 3]]
