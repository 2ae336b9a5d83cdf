"""What is trained on has a gradient that reaches a parameter, and what has one is not refused."""

import copy

import lightning
import pytest
import torch
from torch import nn

from dlplug.data.digits import Digits
from dlplug.data.spec import DataSpec
from dlplug.errors import ConfigError
from dlplug.losses.cross_entropy import CrossEntropyLoss
from dlplug.run.preflight import preflight
from dlplug.run.quiet import quiet
from dlplug.tasks.classification import Classification
from dlplug.tasks.gradient_checks import few_of


class Net(nn.Module):
    """A linear network, which those below spoil or change."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(64, 10)

    def forward(self, x):
        """Scores."""
        return self.layer(x)


class Detached(Net):
    def forward(self, x):
        return super().forward(x).detach()


class Sigmoid(Net):
    def forward(self, x):
        scores = super().forward(x).sigmoid()
        scores += 1
        return scores


class Shrinking(Net):
    def forward(self, x):
        self.layer.weight.mul_(0.9)
        return super().forward(x)


class Renewing(Net):
    def forward(self, x):
        self.extra = nn.Parameter(torch.zeros(10))
        return super().forward(x) + self.extra


class Listed(Net):
    def __init__(self):
        super().__init__()
        self.bodies = [nn.Linear(64, 64)]

    def forward(self, x):
        return super().forward(self.bodies[0](x))


class Unused(Net):
    def forward(self, x):
        return x[:, :10].clone().requires_grad_()


def cut(output, target):
    return torch.tensor(nn.functional.cross_entropy(output, target).item())


def check(model=None, loss=None, **data):
    loss = loss or CrossEntropyLoss()
    task = Classification(model or Net(), loss, data_spec=DataSpec(num_classes=10))
    digits = Digits(flatten=True, **data)
    digits.setup("fit")
    with quiet():
        trainer = lightning.Trainer(accelerator="cpu", logger=False)
    preflight(task, digits, trainer, "architecture a, data b")
    return task


@pytest.mark.parametrize(
    ("model", "what", "fix"),
    [
        (Detached, "does not depend on its parameters", "use a parameter that is not frozen"),
        (Sigmoid, "the gradient of the loss cannot be computed", "write x = x + y"),
        (Shrinking, "in-place operation", "write x = x + y"),
        (Renewing, "forward makes the parameter architecture.extra anew", "in __init__"),
        (Listed, "2 weights that the architecture's output depends on are no", "nn.ModuleList"),
        (Unused, "the gradient of the loss reaches no parameter", "in __init__"),
    ],
)
def test_what_cannot_be_trained_is_refused(model, what, fix):
    """Before the training, with the architecture's side."""
    with pytest.raises(ConfigError) as error:
        check(model())
    assert what in error.value.what and fix in error.value.fix
    assert error.value.where == "architecture a, data b"


def test_a_loss_that_cuts_the_gradient_is_refused():
    """With its own place."""
    with pytest.raises(ConfigError, match="the loss does not depend on the output") as error:
        check(loss=cut)
    assert error.value.where.startswith("loss cut, ") and "torch.tensor(...)" in error.value.fix


class Scaled(CrossEntropyLoss):
    """A loss with a parameter."""

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))

    def forward(self, output, target):
        return self.scale * super().forward(output, target)


class Headed(Net):
    """A body without gradient, as of a frozen backbone."""

    def __init__(self):
        super().__init__()
        self.body = nn.Linear(64, 64)

    def forward(self, x):
        with torch.no_grad():
            x = self.body(x)
        return super().forward(x)


class Normed(Net):
    """Statistics of a batch: one record is too few while it trains."""

    def __init__(self):
        super().__init__()
        self.norm = nn.BatchNorm1d(64)

    def forward(self, x):
        return super().forward(self.norm(x))


class OnlyInTraining(Net):
    """Gives what cannot be trained on, but in training."""

    def forward(self, x):
        scores = super().forward(x)
        return scores if self.training else scores.detach()


class Picky(Net):
    """Takes no small batches, as networks of groups of records do."""

    def forward(self, x):
        if len(x) < 8:
            raise ValueError("too few")
        return super().forward(x)


class Searching(Net):
    """Computes gradients by itself, as forces of energies are."""

    def forward(self, x):
        with torch.enable_grad():
            x = x.detach().requires_grad_()
            (force,) = torch.autograd.grad(self.layer(x).sum(), x, create_graph=self.training)
        return self.layer(x + force)


class Hidden(Net):
    """Keeps a frozen network where no state_dict sees it."""

    def __init__(self):
        super().__init__()
        self.frozen = [nn.Linear(64, 64).requires_grad_(False)]

    def forward(self, x):
        return super().forward(self.frozen[0](x))


@pytest.mark.parametrize("model", [Net, Headed, Normed, OnlyInTraining, Picky, Searching, Hidden])
def test_what_can_be_trained_passes(model):
    """As it was: weights, statistics, modes, and no gradient is left."""
    model = model()
    before = copy.deepcopy(model.state_dict())
    for loss in (CrossEntropyLoss(), Scaled()):
        check(model, loss)
    torch.testing.assert_close(model.state_dict(), before, rtol=0, atol=0)
    assert all(parameter.grad is None for parameter in model.parameters())
    assert model.training and model.layer.training


def test_adapters_beside_frozen_weights_pass():
    """Some parameters have a gradient; where none has, a callback may still unfreeze some."""
    adapted = nn.Sequential(nn.Linear(64, 10).requires_grad_(False), nn.Linear(10, 10))
    check(adapted)
    check(Net().requires_grad_(False))


class Adversarial(Classification):
    """Steps its optimizers itself, and shows its losses only."""

    def __init__(self, *arguments, **keywords):
        super().__init__(*arguments, **keywords)
        self.automatic_optimization = False


class OwnStep(Classification):
    """Trains on something else than its loss."""

    def training_step(self, batch, batch_idx):
        return self.architecture.layer.weight.square().sum()


@pytest.mark.parametrize("kind", [Adversarial, OwnStep])
def test_a_task_that_trains_in_its_own_way_needs_no_gradient(kind):
    """Of the loss that it logs."""
    task = kind(Detached(), CrossEntropyLoss(), data_spec=DataSpec(num_classes=10))
    digits = Digits(flatten=True)
    digits.setup("fit")
    with quiet():
        preflight(task, digits, lightning.Trainer(accelerator="cpu", logger=False))


class Remembering(Net):
    """Keeps its last scores to look at."""

    def forward(self, x):
        self.last = super().forward(x)
        return self.last


def test_what_a_network_keeps_can_still_be_copied():
    """A tensor of a graph could not, and moving averages copy before the first step."""
    model = Remembering()
    check(model)
    assert not model.last.requires_grad
    copy.deepcopy(model)


def test_a_few_records_of_a_batch():
    """All of it where its tensors are not one to a record, as of graphs."""
    rows, labels = torch.zeros(5, 3), torch.zeros(5)
    inputs, target = few_of(({"x": rows}, labels))
    assert len(inputs["x"]) == len(target) == 2
    batch = ({"nodes": rows, "edges": torch.zeros(2, 9)}, labels)
    assert few_of(batch) is batch
    assert few_of((rows, torch.tensor(1)))[0] is rows


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
    task.log = lambda *arguments, **keywords: None  # it has no Trainer
    batch = torch.zeros(64, 64), torch.zeros(64, dtype=torch.int64)
    with pytest.raises(ConfigError) as error:
        task.training_step(batch, 0)
    assert what in error.value.what and where in error.value.where and error.value.fix


def test_a_later_step_tells_what_python_tells():
    """A fault of one batch is none of the network's form."""
    task = Classification(TwoHeaded(), CrossEntropyLoss(), data_spec=DataSpec(num_classes=10))
    batch = torch.zeros(64, 64), torch.zeros(64, dtype=torch.int64)
    with pytest.raises(AttributeError, match="'tuple' object"):
        task.training_step(batch, 1)
