"""The first step of a training tells what does not fit as the check before it does."""

from types import SimpleNamespace

import pytest
import torch
from torch import nn

from dlplug.data.spec import DataSpec
from dlplug.errors import ConfigError
from dlplug.losses.cross_entropy import CrossEntropyLoss
from dlplug.tasks.classification import Classification
from dlplug.tasks.first_step import explained, require_training
from tests.tasks.trainable import Net


class TwoHeaded(Net):
    """Gives more while it trains."""

    def forward(self, x):
        scores = super().forward(x)
        return (scores, scores) if self.training else scores


class Silenced(Net):
    """Gives nothing to train on, but in evaluation."""

    def forward(self, x):
        scores = super().forward(x)
        return scores.detach() if self.training else scores


@pytest.mark.parametrize(
    ("model", "what", "where"),
    [
        (TwoHeaded(), "the architecture gives ((64, 10)", "the network in training mode"),
        (Silenced(), "the loss of a training batch has no gradient", "training step 1"),
        (Net().requires_grad_(False), "every parameter of the model is frozen", "training step 1"),
    ],
)
def test_what_only_the_first_step_tells_is_no_traceback(model, what, where):
    """The words are those of the check before it."""
    task = Classification(model, CrossEntropyLoss(), data_spec=DataSpec(num_classes=10))
    task.log = lambda *arguments, **keywords: None
    task._trainer = SimpleNamespace(global_step=0)  # not enough of one to log
    batch = torch.zeros(64, 64), torch.zeros(64, dtype=torch.int64)
    with pytest.raises(ConfigError) as error:
        task.training_step(batch, 0)
    assert what in error.value.what and where in error.value.where and error.value.fix


def test_a_later_step_tells_what_python_tells():
    """A fault of one batch is none of the network's form."""
    task = Classification(TwoHeaded(), CrossEntropyLoss(), data_spec=DataSpec(num_classes=10))
    task._trainer = SimpleNamespace(global_step=0)
    batch = torch.zeros(64, 64), torch.zeros(64, dtype=torch.int64)
    with pytest.raises(AttributeError, match="'tuple' object"):
        task.training_step(batch, 1)


def step_of(**keywords):
    """What a step knows of its task."""
    shared = {"parameters": lambda: [nn.Parameter(torch.zeros(1))], "automatic_optimization": True}
    return SimpleNamespace(**shared, **keywords)


def test_a_constant_loss_in_the_middle_of_a_training_has_its_own_fix():
    """The gradient is not cut by the network, which had one before."""
    with pytest.raises(ConfigError) as error:
        require_training(step_of(global_step=9), torch.zeros(()))
    assert error.value.fix.startswith("for a batch with nothing to learn from")
    assert "return output.sum() * 0" in error.value.fix
    with pytest.raises(ConfigError, match=r"\.detach\(\), .*; for a batch with nothing"):
        require_training(step_of(global_step=0), torch.zeros(()))


def refuse(batch):
    """As a check that meets something else than the step."""
    raise KeyError("of the check")


@pytest.mark.parametrize(
    ("message", "is_checked"),
    [
        ("a shape", True),
        ("CUDA error: device-side assert triggered", False),
        ("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling cublasCreate", False),
        ("[enforce fail] DefaultCPUAllocator: not enough memory: you tried to allocate 9", False),
    ],
)
def test_the_first_error_stays(message, is_checked):
    """Whatever the check meets; and after an error that lasts nothing more is computed."""
    asked = []

    def check_batch(batch):
        asked.append(batch)
        refuse(batch)

    with (
        pytest.raises(RuntimeError, match=r"a shape|CUDA error|not enough memory"),
        explained(step_of(check_batch=check_batch), (1, 2), is_first=True),
    ):
        raise RuntimeError(message)
    assert len(asked) == is_checked
