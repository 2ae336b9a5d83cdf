"""CompactAdamW where PyTorch's default dtype or device is another."""

from contextlib import contextmanager

import pytest
import torch
from torch import nn

from dlplug.ops.total_norm import total_norm
from dlplug.optim import CompactAdamW
from tests.optim.test_compact_adamw import each_storage


@contextmanager
def default(what):
    if isinstance(what, str):
        with torch.device(what):
            yield
        return
    before = torch.get_default_dtype()
    torch.set_default_dtype(what)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


each_default = pytest.mark.parametrize(
    "what", [torch.float64, torch.bfloat16, "meta"], ids=lambda what: str(what)
)


@each_default
@each_storage
def test_steps_are_the_same(storage, what):
    """Same states, same bits: neither is asked for a parameter that is there."""
    found = []
    for where in (torch.float32, what):
        torch.manual_seed(0)
        params = [nn.Parameter(torch.linspace(-1, 1, 300).bfloat16()) for _ in range(2)]
        grads = [param.detach().cos() for param in params]
        with default(where):
            optimizer = CompactAdamW(params, storage=storage, max_grad_norm=0.1, ema_decay=0.9)
            for _ in range(2):
                for param, grad in zip(params, grads, strict=True):
                    param.grad = grad.clone()
                optimizer.step()
        found.append((params, [dict(optimizer.state[param]) for param in params]))
    torch.testing.assert_close(*found, rtol=0, atol=0)


@each_default
def test_the_norm_of_nothing_is_a_number(what):
    """A float32 on the CPU."""
    with default(what):
        norm = total_norm([])
    assert norm.dtype is torch.float32 and norm.item() == 0.0
