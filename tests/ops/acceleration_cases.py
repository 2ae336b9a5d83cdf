"""What the tests of accelerate share: the rule by which results are judged, and who was called."""

import copy
import functools
from collections import Counter
from collections.abc import Callable
from importlib import import_module

import pytest
import torch
from torch import Tensor

from dlplug import ops

CALLERS = {
    "norms": ("layer_norm", "rms_norm", "add_layer_norm", "add_rms_norm"),
    "redirection": ("layer_norm", "rms_norm", "attention"),
}


def count_calls(monkeypatch: pytest.MonkeyPatch) -> Counter:
    """How often the swapped modules call each op from now on."""
    calls = Counter()
    places = [(f"acceleration.{name}", op) for name, found in CALLERS.items() for op in found]
    for name, op in (*places, ("_multihead_attention", "attention")):
        counted = functools.partial(_counted, calls, getattr(ops, op))
        monkeypatch.setattr(import_module(f"dlplug.ops.{name}"), op, counted)
    return calls


def _counted(calls: Counter, op: Callable, *args, **kwargs):
    calls[op.__name__] += 1
    return op(*args, **kwargs)


def results(model: torch.nn.Module, call: Callable[[torch.nn.Module], Tensor]) -> list[Tensor]:
    """Output, and the gradient of every parameter for a fixed gradient of the output."""
    model.zero_grad()
    out = call(model)
    weight = torch.linspace(-1, 1, out.numel(), dtype=torch.float64).reshape(out.shape)
    (out * weight.to(out.dtype)).sum().backward()
    grads = [p.grad.clone() for p in model.parameters() if p.grad is not None]
    return [out.detach(), *grads]


def assert_half_as_exact(model: torch.nn.Module, call: Callable[[torch.nn.Module], Tensor]) -> None:
    """The accelerated model's errors against float64 are at most twice those of the plain one:
    the output's greatest, and the Euclidean one of all gradients.

    Args:
        model: Plain; stays so.
        call: Gives the output of a model, inputs in the dtype of its parameters.
    """
    exact = results(copy.deepcopy(model).double(), call)
    plain = results(copy.deepcopy(model), call)
    swapped = copy.deepcopy(model)
    report = ops.accelerate(swapped)
    assert report.swapped
    found = results(swapped, call)
    assert len(found) == len(plain) == len(exact)
    for mine, theirs in zip(found, plain, strict=True):
        assert mine.dtype is theirs.dtype and mine.shape == theirs.shape
    eps = torch.finfo(found[0].dtype).eps
    error = (found[0].double() - exact[0]).abs().max()
    assert error <= 2 * (plain[0].double() - exact[0]).abs().max() + eps * exact[0].abs().max()
    # All gradients together: of one small tensor, PyTorch's error may be small by luck.
    assert _distance(found[1:], exact[1:]) <= 2 * _distance(plain[1:], exact[1:]) + eps


def _distance(some: list[Tensor], others: list[Tensor]) -> Tensor:
    pairs = zip(some, others, strict=True)
    return sum(((a.double() - b) ** 2).sum() for a, b in pairs) ** 0.5


def dtype_of(model: torch.nn.Module) -> torch.dtype:
    return next(model.parameters()).dtype
