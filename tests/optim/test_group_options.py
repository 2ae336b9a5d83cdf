"""What a parameter group asks for is done, or is an error."""

import pytest
import torch
from torch import nn

from dlplug.errors import InvalidValueError
from dlplug.optim import CompactAdamW, FusedAdamW

each_optimizer = pytest.mark.parametrize("kind", [FusedAdamW, CompactAdamW])


def parameter():
    return nn.Parameter(torch.linspace(-1, 1, 5))


@each_optimizer
@pytest.mark.parametrize(
    ("name", "value", "fix"),
    [
        ("max_grad_norm", 1.0, "give max_grad_norm to the optimizer"),
        ("ema_decay", 0.9, "give ema_decay to the optimizer"),
        ("ema_decya", 0.9, "did you mean 'ema_decay'?"),
        ("beta", (0.9, 0.99), "did you mean 'betas'?"),
        ("weight_deacy", 0.1, "did you mean 'weight_decay'?"),
    ],
)
def test_what_a_group_cannot_have_is_refused(kind, name, value, fix):
    """In the constructor and later, with its name, its place and what to do."""
    with pytest.raises(InvalidValueError, match=name) as error:
        kind([{"params": [parameter()]}, {"params": [parameter()], name: value}])
    assert (error.value.where, error.value.fix) == ("parameter group 1", fix)
    assert "weight_decay" in error.value.known
    optimizer = kind([parameter()])
    with pytest.raises(InvalidValueError, match=name):
        optimizer.add_param_group({"params": [parameter()], name: value})
    assert len(optimizer.param_groups) == 1


@each_optimizer
def test_what_others_keep_in_a_group_stays(kind):
    """Names, and what schedulers and loaded states leave there."""
    kept = {"name": "head", "lr_scale": 0.5, "initial_lr": 1e-3, "max_lr": 1.0, "max_momentum": 0.9}
    kept |= {"max_grad_norm": None, "storage": "float32_states", "decoupled_weight_decay": True}
    optimizer = kind([{"params": [parameter()], **kept}])
    assert kept.items() <= optimizer.param_groups[0].items()


@each_optimizer
def test_groups_of_one_optimizer_make_another(kind):
    """With all that it has put into them."""
    first = kind([parameter()])
    torch.optim.lr_scheduler.OneCycleLR(first, max_lr=1.0, total_steps=9)
    second = kind(first.param_groups)
    assert second.param_groups[0].keys() == first.param_groups[0].keys()


@each_optimizer
def test_the_decay_of_adam_is_refused(kind):
    """PyTorch's AdamW then adds it to the gradient, as its Adam does."""
    group = {"params": [parameter()], "decoupled_weight_decay": False}
    with pytest.raises(InvalidValueError, match="decoupled_weight_decay = False") as error:
        kind([{"params": [parameter()]}, group])
    assert error.value.where == "parameter group 1"
    optimizer = kind([parameter()])
    with pytest.raises(InvalidValueError, match="decoupled_weight_decay = False"):
        optimizer.add_param_group(group)
    assert len(optimizer.param_groups) == 1


def test_plain_adamw_has_no_storage():
    """Other than that of its own states."""
    with pytest.raises(InvalidValueError, match="group sets storage = '8bit'"):
        FusedAdamW([{"params": [parameter()], "storage": "8bit"}])


@pytest.mark.parametrize("kind", [torch.optim.AdamW, FusedAdamW])
def test_no_group_is_refused_as_by_pytorch(kind):
    """In its words."""
    with pytest.raises(TypeError, match="must be a dict"):
        kind([parameter()]).add_param_group([parameter()])


@pytest.mark.parametrize("num_steps", [0, 2])
def test_capturable_parameters_on_the_cpu_are_refused(num_steps):
    """In the step, before anything changes; PyTorch's AdamW does so, too."""
    param = parameter()
    optimizer = CompactAdamW([param], storage="float32_states")
    param.grad = torch.ones_like(param)
    for _ in range(num_steps):
        optimizer.step()
    before = param.detach().clone()
    optimizer.param_groups[0]["capturable"] = True
    with pytest.raises(InvalidValueError, match="capturable = True, and a parameter is on cpu"):
        optimizer.step()
    assert torch.equal(param, before)
    asked = CompactAdamW([{"params": [param], "capturable": True}])
    with pytest.raises(InvalidValueError, match="capturable = True") as error:
        asked.step()
    assert error.value.where == "parameter group 0"
