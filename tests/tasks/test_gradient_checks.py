"""What is trained on has a gradient that reaches a parameter, and what has one is not refused."""

import copy
import inspect
from dataclasses import dataclass

import pytest
import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from dlplug.errors import ConfigError
from dlplug.losses.cross_entropy import CrossEntropyLoss
from dlplug.tasks.classification import Classification
from dlplug.tasks.gradient_checks import first_records
from tests.tasks.trainable import Net, check


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


class Unused(Net):
    def forward(self, x):
        return x[:, :10].clone().requires_grad_()


def cut(output, target):
    return torch.tensor(nn.functional.cross_entropy(output, target).item())


@pytest.mark.parametrize(
    ("model", "what", "fix"),
    [
        (Detached, "does not depend on its parameters", "use a parameter that is not frozen"),
        (Sigmoid, "the gradient of the loss cannot be computed", "write x = x + y"),
        (Shrinking, "in-place operation", "write x = x + y"),
        (Renewing, "forward makes the parameter architecture.extra anew", "in __init__"),
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


class OwnLoss(Classification):
    """Adds what the architecture is to learn from."""

    def _step(self, batch, stage):
        return super()._step(batch, stage) + self.architecture.layer.weight.square().sum()


class OwnBackward(Classification):
    """Computes gradients that the loss has none of."""

    def backward(self, loss):
        self.architecture.layer.weight.grad = torch.ones(10, 64)


@pytest.mark.parametrize("kind", [Adversarial, OwnStep, OwnLoss, OwnBackward])
def test_a_task_that_trains_in_its_own_way_needs_no_gradient(kind):
    """Of the loss that it logs."""
    check(Detached(), kind=kind)


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
    inputs, target = first_records(({"x": rows}, labels))
    assert len(inputs["x"]) == len(target) == 2
    batch = ({"nodes": rows, "edges": torch.zeros(2, 9)}, labels)
    assert first_records(batch) is batch
    assert first_records((rows, torch.tensor(1)))[0] is rows


class Frozen(Net):
    """Gives an object that holds scores, and cannot be changed."""

    def forward(self, x):
        return Scores(super().forward(x))


@dataclass(frozen=True)
class Scores:
    """What some networks give."""

    scores: torch.Tensor


def first_scores(output, target):
    """Of such an object."""
    return nn.functional.cross_entropy(output.scores, target)


class OfObjects(Classification):
    """Takes them."""

    def check_output(self, output, batch):
        """Any."""

    def measured(self, output, target):
        """Their scores."""
        return output.scores, target


def test_an_output_may_be_a_frozen_dataclass():
    """Its fields are looked into."""
    check(Frozen(), first_scores, OfObjects)
    batch = (Scores(torch.zeros(5, 3)), torch.zeros(5))
    assert first_records(batch) is batch  # which nothing could be put into


class Checkpointed(Net):
    """Computes its middle a second time in backward, as PyTorch did it first."""

    def __init__(self):
        super().__init__()
        self.first, self.middle = nn.Linear(64, 64), nn.Linear(64, 64)

    def forward(self, x):
        x = self.first(x)
        is_kept = not torch.is_grad_enabled()  # where it would warn that there is no gradient
        x = self.middle(x) if is_kept else checkpoint(self.middle, x, use_reentrant=True)
        return super().forward(x)


def test_reentrant_checkpoints_pass():
    """They refuse torch.autograd.grad; no gradient is left, and one that was there stays."""
    model = Checkpointed()
    model.middle.bias.grad = kept = torch.ones(64)
    check(model)
    assert model.middle.bias.grad is kept and torch.equal(kept, torch.ones(64))
    assert model.first.weight.grad is None and model.layer.weight.grad is None


def test_an_optimizer_within_backward_does_not_step():
    """It would train before the training."""
    model = Net()
    before = model.layer.weight.detach().clone()
    for parameter in model.parameters():
        parameter.register_post_accumulate_grad_hook(lambda p: p.data.add_(1))
    check(model)
    assert torch.equal(model.layer.weight, before)


def test_the_line_of_an_operation_in_place_is_told():
    """That of the operation whose result was overwritten, and not only what PyTorch calls it."""
    with pytest.raises(ConfigError, match="has been modified by an inplace operation") as error:
        check(Sigmoid())
    assert "Hint" not in error.value.what
    line = inspect.getsourcelines(Sigmoid.forward)[1] + 1
    assert f"test_gradient_checks.py, line {line})" in error.value.what


class Uneven(torch.autograd.Function):
    """Its gradient is of another shape."""

    @staticmethod
    def forward(ctx, x):
        """As it was."""
        return x.clone()

    @staticmethod
    def backward(ctx, grad):
        """Too few."""
        return grad[:1, :1]


class Bent(Net):
    def forward(self, x):
        return Uneven.apply(super().forward(x))


def test_an_operation_with_a_wrong_gradient_is_told_with_its_line():
    """Nothing in the message says what to do, so the line does."""
    with pytest.raises(ConfigError, match="cannot be computed") as error:
        check(Bent())
    line = inspect.getsourcelines(Bent.forward)[1] + 1
    assert f"test_gradient_checks.py, line {line})" in error.value.what
    assert error.value.fix == "correct that line"


def test_a_loss_with_weights_needs_a_gradient_of_the_architecture_too():
    """Its own would be all that is trained."""
    with pytest.raises(ConfigError, match="does not depend on its parameters"):
        check(Detached(), Scaled())
    with pytest.raises(ConfigError, match="reaches no parameter of the architecture"):
        check(Unused(), Scaled())


def test_a_constant_loss_is_told_as_such():
    """As some give for a batch without positives."""
    with pytest.raises(ConfigError, match=r"return output\.sum\(\) \* 0"):
        check(loss=lambda output, target: torch.zeros(()))
