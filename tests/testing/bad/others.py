"""Components of the other kinds, each with one fault."""

import threading

import torch
from lightning.pytorch import LightningDataModule
from lightning.pytorch.callbacks import Callback
from torch import Tensor, nn
from torchmetrics import Metric

from dlplug.data.spec import DataSpec


class Vector(nn.Module):
    """A loss that forgets to reduce."""

    def forward(self, output: Tensor, target: Tensor) -> Tensor:
        """One number for each record."""
        return (output.sum(dim=1) - target).square()


class Rounded(nn.Module):
    """A loss of what no gradient passes."""

    def forward(self, output: Tensor, target: Tensor) -> Tensor:
        """Share of wrong answers."""
        return (output.argmax(dim=1) != target).float().mean()


class TargetFirst(nn.Module):
    """A loss of which both orders give the same, until somebody weighs the sides."""

    def forward(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        """Mean squared error."""
        return (y_true - y_pred).square().mean()


class SwappedCrossEntropy(nn.Module):
    """A loss whose arguments have short names, in the wrong order."""

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        """Cross-entropy of classes ``a`` and scores ``b``."""
        return nn.functional.cross_entropy(b, a)


class SwappedLabels(nn.Module):
    """A loss of labels and scores in the wrong order, which no exception tells."""

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        """Binary cross-entropy of labels ``a`` and scores ``b``."""
        return nn.functional.binary_cross_entropy_with_logits(b, a)


class Negated(nn.Module):
    """A score where a loss should be: the higher the better."""

    def forward(self, output: Tensor, target: Tensor) -> Tensor:
        """Mean logarithm of the probability of the right class."""
        return -nn.functional.cross_entropy(output, target)


class DoubleLoss(nn.Module):
    """A loss that mixes dtypes."""

    def forward(self, output: Tensor, target: Tensor) -> Tensor:
        """Distance to ones."""
        return torch.dot(output.flatten(), torch.ones(output.numel())) + 0 * target.sum()


class EagerLoss(nn.Module):
    """A loss that is another one while it is compiled."""

    def forward(self, output: Tensor, target: Tensor) -> Tensor:
        """Cross-entropy, or twice."""
        loss = nn.functional.cross_entropy(output, target)
        return 2 * loss if torch.compiler.is_compiling() else loss


class NaNMetric(Metric):
    """A metric without a value."""

    def update(self, prediction: Tensor, target: Tensor) -> None:
        """Nothing."""

    def compute(self) -> Tensor:
        """NaN."""
        return torch.tensor(torch.nan)


class Remembering(Metric):
    """A metric that counts in an attribute, which reset does not know."""

    def __init__(self):
        super().__init__()
        self.total = torch.zeros(())

    def update(self, prediction: Tensor, target: Tensor) -> None:
        """Count."""
        self.total = self.total + len(target)

    def compute(self) -> Tensor:
        """All that was ever counted."""
        return self.total


class Lazy(torch.optim.SGD):
    """An optimizer that moves the first parameter only."""

    def step(self, closure=None):
        """A step of one parameter."""
        with torch.enable_grad():
            loss = closure()
        first = self.param_groups[0]["params"][0]
        with torch.no_grad():
            first -= 0.1 * first.grad
        return loss


class Amnesiac(torch.optim.Adam):
    """An optimizer whose checkpoint holds no state."""

    def state_dict(self):
        """Groups alone."""
        return super().state_dict() | {"state": {}}


class BiasAmnesiac(torch.optim.Adam):
    """An optimizer that forgets one parameter when it is loaded."""

    def load_state_dict(self, state_dict):
        """All but the last of the state."""
        super().load_state_dict(state_dict)
        self.state.pop(self.param_groups[0]["params"][-1], None)


class Rising(torch.optim.lr_scheduler.LRScheduler):
    """A scheduler that ends below 0."""

    def get_lr(self):
        """Falls by a half of the first rate with each step."""
        return [base * (1 - 0.5 * self.last_epoch) for base in self.base_lrs]


class Restarting(torch.optim.lr_scheduler.LRScheduler):
    """A scheduler that begins anew after a checkpoint."""

    def get_lr(self):
        """Halved with each step."""
        return [base * 0.5**self.last_epoch for base in self.base_lrs]

    def load_state_dict(self, state_dict) -> None:
        """Leave the count of steps as it is."""


class Halving:
    """A transform that loses records."""

    def __call__(self, inputs: Tensor) -> Tensor:
        """The first half of a batch."""
        return inputs[: len(inputs) // 2]


class Silent(LightningDataModule):
    """A data module that does not say what its data is."""

    def train_dataloader(self):
        """Two batches of rows and classes."""
        return [(torch.randn(4, 5), torch.zeros(4, dtype=torch.int64))] * 2


class InputsOnly(Silent):
    """A data module whose batches have no targets."""

    data_spec = DataSpec(num_features=5, num_classes=3)

    def train_dataloader(self):
        """Two batches of rows."""
        return [torch.randn(4, 5)] * 2


class Restless(Silent):
    """A data module that draws from the system's own randomness."""

    data_spec = DataSpec(num_features=5, num_classes=3)

    def train_dataloader(self):
        """Two batches of rows and classes."""
        generator = torch.Generator()
        generator.seed()
        batch = torch.randn(4, 5, generator=generator), torch.zeros(4, dtype=torch.int64)
        return [batch] * 2


class Point:
    """Something that is neither a tensor nor plain data."""


class Objects(Callback):
    """A callback whose state is an object."""

    def state_dict(self) -> dict:
        """A point."""
        return {"point": Point()}


class Locked(Callback):
    """A callback with a lock."""

    def __init__(self):
        self.lock = threading.Lock()
