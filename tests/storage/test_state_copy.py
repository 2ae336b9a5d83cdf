"""A copy of the state does not change with the training."""

import io
from collections import OrderedDict

import pytest
import torch
from torch import nn

from dlplug.storage.state_copy import copy_state


def copied(state):
    copy, wait = copy_state(state)
    wait()
    return copy


def test_nothing_that_changes_is_shared():
    """Tensors, lists, dicts and sets, however deep; types and values stay."""
    state = {
        "weights": OrderedDict(w=torch.ones(3)),
        "callbacks": {"a": {"history": [1, [2.5]], "seen": {1}, "pair": (torch.zeros(2), [3])}},
        "name": "x",
    }
    copy = copied(state)
    state["weights"]["w"].add_(1)
    state["callbacks"]["a"]["history"][1].append(4)
    state["callbacks"]["a"]["seen"].add(2)
    state["callbacks"]["a"]["pair"][0].add_(1)
    state["callbacks"]["a"]["pair"][1].append(5)
    state["callbacks"]["b"] = None
    assert type(copy["weights"]) is OrderedDict and torch.equal(copy["weights"]["w"], torch.ones(3))
    assert list(copy["callbacks"]) == ["a"] and copy["name"] == "x"
    inner = copy["callbacks"]["a"]
    assert inner["history"] == [1, [2.5]] and inner["seen"] == {1}
    assert torch.equal(inner["pair"][0], torch.zeros(2)) and inner["pair"][1] == [3]


def test_a_file_of_the_copy_has_the_same_bytes():
    """Tied weights and views are stored once, with their strides, as in the original."""
    whole = torch.arange(12.0)
    tied = nn.Linear(3, 2)
    state = {
        "a": tied.weight,
        "b": tied.weight,
        "view": whole[2:8].view(2, 3).t(),
        "whole": whole,
        "bfloat16": torch.ones(2, dtype=torch.bfloat16),
        "nothing": torch.empty(0),
        "scalar": torch.tensor(3),
    }
    files = io.BytesIO(), io.BytesIO()
    torch.save({name: tensor.detach() for name, tensor in state.items()}, files[0])
    torch.save(copied(state), files[1])
    assert files[0].getvalue() == files[1].getvalue()


@pytest.mark.parametrize(
    "tensor",
    [
        torch.eye(3).to_sparse(),
        torch.tensor([1 + 2j]).conj(),
        torch.imag(torch.tensor([1 + 2j]).conj()),
    ],
    ids=["sparse", "conjugate", "negative"],
)
def test_other_tensors_keep_their_values(tensor):
    """Those whose memory does not tell everything."""
    (copy,) = copied([tensor])
    assert torch.equal(copy.to_dense().resolve_conj(), tensor.to_dense().resolve_conj())
    assert copy.layout == tensor.layout


def test_two_empty_tensors_are_not_mixed_up():
    """Both have no memory at all."""
    first, second = copied([torch.empty(0, 3), torch.empty(2, 0, dtype=torch.int64)])
    assert first.shape == (0, 3) and second.shape == (2, 0) and second.dtype == torch.int64
