"""What authors of a first component do wrong, each once; rows and classes go in."""

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from tests.testing.bad.architectures import Good


class WholeNumbers(Good):
    """Returns the best class instead of the scores."""

    def forward(self, x: Tensor) -> Tensor:
        """Whole numbers."""
        return super().forward(x).long()


class Returnless(Good):
    """Forgets to return."""

    def forward(self, x: Tensor) -> None:
        """Nothing."""
        super().forward(x)


class Detached(Good):
    """Cuts the gradient."""

    def forward(self, x: Tensor) -> Tensor:
        """Scores without a gradient."""
        return super().forward(x).detach()


class PlainList(Good):
    """Keeps layers where PyTorch does not look."""

    def __init__(self, num_features: int, num_outputs: int):
        super().__init__(num_features, num_outputs)
        self.bodies = [nn.Linear(num_features, num_features)]

    def forward(self, x: Tensor) -> Tensor:
        """Scores."""
        return super().forward(self.bodies[0](x))


class Uninitialised(nn.Module):
    """Forgets the constructor of its base.

    Args:
        num_features: Numbers in a row.
    """

    def __init__(self, num_features: int):
        self.width = num_features

    def forward(self, x: Tensor) -> Tensor:
        """The inputs."""
        return x


class Layered(Uninitialised):
    """Forgets it, and has a layer, which PyTorch refuses at once."""

    def __init__(self, num_features: int):
        self.layer = nn.Linear(num_features, 3)


class UninitialisedLoss(nn.Module):
    """A loss that forgets the constructor of its base."""

    def __init__(self, weight: float = 1.0):
        self.weight = weight

    def forward(self, output: Tensor, target: Tensor) -> Tensor:
        """Cross-entropy."""
        return self.weight * cross_entropy(output, target)


class Item(nn.Module):
    """A loss that gives a number."""

    def forward(self, output: Tensor, target: Tensor) -> float:
        """Cross-entropy."""
        return cross_entropy(output, target).item()


class Count(nn.Module):
    """A loss that counts."""

    def forward(self, output: Tensor, target: Tensor) -> Tensor:
        """Wrong answers."""
        return (output.argmax(dim=1) != target).sum()


class SwappedScore(nn.Module):
    """A loss in the wrong order which, besides, is a score: no order prefers right outputs."""

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        """Minus the cross-entropy of classes ``a`` and scores ``b``."""
        return -cross_entropy(b, a)


class Keyed(nn.Module):
    """A loss that fails whatever it gets."""

    def forward(self, output: Tensor, target: Tensor) -> Tensor:
        """Nothing."""
        return {}["weight"] * output.mean()


class Overwriting(nn.Module):
    """A loss that changes the target."""

    def forward(self, output: Tensor, target: Tensor) -> Tensor:
        """Cross-entropy."""
        loss = cross_entropy(output, target)
        target += 1
        return loss


class Renewing(Good):
    """Makes a parameter in each pass."""

    def forward(self, x: Tensor) -> Tensor:
        """Scores."""
        self.shift = nn.Parameter(torch.zeros(3))
        return super().forward(x) + self.shift
