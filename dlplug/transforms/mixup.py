"""Mix each record with another one of the batch."""

import torch
from torch import Tensor

from dlplug.errors import InvalidValueError
from dlplug.transforms.mixed import Mixed


class Mixup:
    """x = share * x_i + (1 - share) * x_j, and the loss likewise; share ~ Beta(alpha, alpha).

    One share for each batch, and a random partner j for each record i, as in the authors' code.
    Share and partners come from torch's global generator.

    Args:
        alpha: Above 0; the larger, the more are two records mixed in equal parts.
        probability: Share of the batches that are mixed.
    Raises:
        InvalidValueError: a value out of range.
    References: Zhang et al. 2018, arXiv:1710.09412, section 2.
    """

    takes_targets = True

    def __init__(self, alpha: float = 0.2, probability: float = 1.0):
        check_mixture("mixup", alpha, probability)
        self.alpha = alpha
        self.probability = probability

    def __call__(self, inputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor | Mixed]:
        """Mixtures, and the targets of both parts; as they were for a batch that is left alone."""
        if float(torch.rand(())) >= self.probability:
            return inputs, targets
        share, partner = draw_share(self.alpha), torch.randperm(len(inputs)).to(inputs.device)
        mixture = share * inputs + (1 - share) * inputs[partner]
        return mixture, Mixed(targets, targets[partner], share)

    def __repr__(self) -> str:
        return f"Mixup(alpha={self.alpha}, probability={self.probability})"


def draw_share(alpha: float) -> float:
    """A number from Beta(alpha, alpha), drawn from torch's global generator on the CPU."""
    # In float64: two float32 draws of a small alpha can both be 0.
    concentration = torch.full((2,), alpha, dtype=torch.float64)
    first, second = torch._standard_gamma(concentration).clamp_min(1e-300).tolist()
    return first / (first + second)


def check_mixture(name: str, alpha: float, probability: float) -> None:
    """``alpha`` is above 0 and ``probability`` a probability.

    Raises:
        InvalidValueError: one is not.
    """
    if not alpha > 0 or not 0 <= probability <= 1:
        raise InvalidValueError(
            f"{name}: alpha = {alpha}, probability = {probability};"
            " alpha must be above 0 and probability in [0, 1]"
        )
