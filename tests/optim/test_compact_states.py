"""What compact AdamW's states stand for, wherever parameter and states lie."""

import pytest
import torch
from torch import nn

from dlplug.optim import CompactAdamW
from tests.optim.test_compact_adamw import each_storage


def stepped(param, storage):
    optimizer = CompactAdamW([param], storage=storage)
    param.grad = torch.randn(param.shape).to(param.dtype)
    optimizer.step()
    return optimizer


@each_storage
def test_a_parameter_that_was_transposed_keeps_its_states(storage):
    """``param.data = param.data.t()``: each element has the m and v that stand at its place."""
    torch.manual_seed(0)
    param = nn.Parameter(torch.randn(40, 40).bfloat16())
    optimizer = stepped(param, storage)
    before = optimizer.float32_values(param)
    param.data = param.data.t()
    after = optimizer.float32_values(param)
    assert torch.equal(after["exp_avg"], before["exp_avg"])
    assert torch.equal(after["exp_avg_sq"], before["exp_avg_sq"])


@pytest.mark.parametrize("storage", ["float32_states", "8bit"])
def test_a_parameter_with_gaps_is_read_where_it_lies(storage):
    """And takes over a state of plain AdamW."""
    torch.manual_seed(0)
    param = nn.Parameter(torch.randn(20, 60)[:, ::2])
    optimizer = stepped(param, storage)
    values = optimizer.float32_values(param)
    assert torch.equal(values["param"], param)
    dense = nn.Parameter(param.detach().clone(memory_format=torch.contiguous_format))
    other = CompactAdamW([dense], storage=storage)
    other.load_state_dict(optimizer.plain_state_dict())
    again = CompactAdamW([param], storage=storage)
    again.load_state_dict(optimizer.plain_state_dict())
    for name, value in other.float32_values(dense).items():
        assert torch.equal(again.float32_values(param)[name], value)
