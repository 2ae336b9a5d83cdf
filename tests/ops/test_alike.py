"""Tests of dlplug/ops/_alike.py: what another tensor may differ in, and what not."""

import weakref

import pytest
import torch

from dlplug.ops import _alike


@pytest.fixture(params=["by PyTorch", "without"])
def check_like(request, monkeypatch):
    """Both ways to find out."""
    if request.param == "without":
        monkeypatch.delattr(torch._C, "_dynamo")
    return _alike.check_like


def tensors():
    return [torch.ones(3, 2), torch.nn.Parameter(torch.ones(4)), torch.ones(())]


def test_values_and_addresses_may_differ(check_like):
    """Fresh tensors of the same kind; of nothing, nothing."""
    check = check_like(tensors())
    assert check(*tensors())
    first, second, third = tensors()
    assert check(first.zero_(), second, third * 3)
    assert check_like([])()


OTHERS = {
    "none": lambda x: [None, *x[1:]],
    "type": lambda x: [x[0], x[1].data, x[2]],
    "dtype": lambda x: [x[0].int(), *x[1:]],
    "device": lambda x: [x[0].to("meta"), *x[1:]],
    "layout": lambda x: [x[0].to_sparse(), *x[1:]],
    "shape": lambda x: [x[0].view(2, 3), *x[1:]],
    "axes": lambda x: [*x[:2], x[2].view(1)],
    "strides": lambda x: [x[0].view(2, 3).T, *x[1:]],
    "negation": lambda x: [torch._neg_view(x[0]), *x[1:]],
    "memory": lambda x: [torch._efficientzerotensor((3, 2)), *x[1:]],
    "gradient": lambda x: [x[0].requires_grad_(), *x[1:]],
    "order": lambda x: [x[1], x[0], x[2]],
}


@pytest.mark.parametrize("other", OTHERS)
def test_nothing_else_may_differ(other, check_like):
    """One fact about one tensor is enough."""
    check = check_like(tensors())
    assert check(*tensors())
    assert not check(*OTHERS[other](tensors()))


def test_tensors_are_not_held(check_like):
    """They may be as large as a model."""
    known = tensors()
    check = check_like(known)
    held = [weakref.ref(tensor) for tensor in known]
    del known
    assert [ref() for ref in held] == [None] * 3
    assert check(*tensors())
