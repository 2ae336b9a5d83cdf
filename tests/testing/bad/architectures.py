"""Architectures, of rows ``(B, num_features)``, each with one fault."""

import torch
from torch import Tensor, nn


class Good(nn.Module):
    """A linear network without a fault.

    Args:
        num_features: Numbers in a row.
        num_outputs: Scores.
    """

    def __init__(self, num_features: int, num_outputs: int):
        super().__init__()
        self.layer = nn.Linear(num_features, num_outputs)

    def forward(self, x: Tensor) -> Tensor:
        """Scores."""
        return self.layer(x)


class NoDocstring(Good):
    def __init__(self, num_features: int, num_outputs: int):
        super().__init__(num_features, num_outputs)


NoDocstring.__doc__ = None


class Silent(Good):
    """Its parameter ``strength`` is required, and nothing tells what it is."""

    def __init__(self, num_features: int, num_outputs: int, strength: float):
        super().__init__(num_features, num_outputs)
        self.strength = strength


class NeedsAPath(Good):
    """Its required text is nothing that the kit could guess.

    Args:
        path: Of a file.
    """

    def __init__(self, num_features: int, num_outputs: int, path: str):
        super().__init__(num_features, num_outputs)
        self.path = path


class Fickle(Good):
    """A default that the resolved config cannot keep.

    Args:
        rate: A number that is not equal to itself.
    """

    def __init__(self, num_features: int, num_outputs: int, rate: float = float("nan")):
        super().__init__(num_features, num_outputs)
        self.rate = rate


class ReadsValues(Good):
    """Its constructor looks at the value of a weight."""

    def __init__(self, num_features: int, num_outputs: int):
        super().__init__(num_features, num_outputs)
        self.scale = torch.zeros(1, device="cpu").item()
        self.register_buffer("fixed", torch.zeros(1, device="cpu"))


class NotFinite(Good):
    """Takes the logarithm of numbers below 0."""

    def forward(self, x: Tensor) -> Tensor:
        """NaN."""
        return self.layer(x).log()


class Unused(Good):
    """Has a layer that forward leaves out."""

    def __init__(self, num_features: int, num_outputs: int):
        super().__init__(num_features, num_outputs)
        self.forgotten = nn.Linear(2, 2)


class Untraceable(Good):
    """Gives something else while it is compiled."""

    def forward(self, x: Tensor) -> Tensor:
        """Scores."""
        return self.layer(x) + (1 if torch.compiler.is_dynamo_compiling() else 0)


class Branching(Good):
    """Decides by the values of its inputs."""

    def forward(self, x: Tensor) -> Tensor:
        """Scores."""
        return self.layer(x) if x.sum().item() > 0 else -self.layer(x)


class Float32Only(Good):
    """Multiplies with float32 whatever the layer before gives."""

    def forward(self, x: Tensor) -> Tensor:
        """Scores."""
        out = self.layer(x)
        return out + torch.dot(out.flatten(), torch.ones(out.numel()))


class Uncopyable(Good):
    """Keeps a tensor that is the result of a computation."""

    def __init__(self, num_features: int, num_outputs: int):
        super().__init__(num_features, num_outputs)
        self.norm = self.layer.weight.norm() * 2


class Unpicklable(Good):
    """Keeps a lambda."""

    def __init__(self, num_features: int, num_outputs: int):
        super().__init__(num_features, num_outputs)
        self.activation = lambda x: x.relu()


class Stateless(Good):
    """Loads nothing."""

    def load_state_dict(self, *arguments, **keywords) -> None:
        """Says that it did."""


class Unseeded(Good):
    """Draws its weights from a generator of its own, seeded by the system."""

    def __init__(self, num_features: int, num_outputs: int):
        super().__init__(num_features, num_outputs)
        generator = torch.Generator()
        generator.seed()
        with torch.no_grad():
            shape, device = self.layer.weight.shape, self.layer.weight.device
            self.layer.weight.copy_(torch.randn(shape, generator=generator).to(device))


class WrongWidth(Good):
    """Gives one score more than there are classes."""

    def __init__(self, num_features: int, num_outputs: int):
        super().__init__(num_features, num_outputs + 1)
