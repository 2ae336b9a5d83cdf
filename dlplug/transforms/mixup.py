"""Mix each record with another one of the batch."""

import math
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor

from dlplug.errors import InvalidValueError
from dlplug.transforms.mixed import Mixed

# What draws of a small alpha are at least.
TINY = 1e-300


class Mixup:
    """x = share * x_i + (1 - share) * x_j, and the loss likewise; share ~ Beta(alpha, alpha).

    One share for each batch, and a random partner j for each record i, as in the authors' code.
    Mappings and tuples are mixed part by part. In a table of numbers and categories, which have no
    mean, each category is the record's own with probability ``share``, else its partner's. All
    draws come from torch's global generator.

    Args:
        alpha: Above 0; the larger, the more are two records mixed in equal parts.
        probability: Share of the batches that are mixed.
    Raises:
        InvalidValueError: a value out of range; when called, tokens or other whole numbers, or
            targets for each position.
    References: Zhang et al. 2018, arXiv:1710.09412, section 2.
    """

    takes_targets = True

    def __init__(self, alpha: float = 0.2, probability: float = 1.0):
        check_mixture("mixup", alpha, probability)
        self.alpha = alpha
        self.probability = probability

    def __call__(self, inputs: Any, targets: Tensor) -> tuple[Any, Tensor | Mixed]:
        """Mixtures, and the targets of both parts; as they were for a batch that is left alone."""
        check_mixable(inputs)
        check_targets("mixup", targets)
        if float(torch.rand(())) >= self.probability:
            return inputs, targets
        share, partner = draw_share(self.alpha), torch.randperm(len(targets)).to(targets.device)
        return mixture(inputs, partner, share), Mixed(targets, targets[partner], share)

    def __repr__(self) -> str:
        return f"Mixup(alpha={self.alpha}, probability={self.probability})"


def mixture(inputs: Any, partner_B: Tensor, share: float) -> Any:
    """The inputs mixed with those of their partners; a mapping or tuple part by part."""
    if isinstance(inputs, Mapping):
        return {name: mixture(part, partner_B, share) for name, part in inputs.items()}
    if isinstance(inputs, (tuple, list)):
        return type(inputs)(mixture(part, partner_B, share) for part in inputs)
    if inputs.is_floating_point():
        return share * inputs + (1 - share) * inputs[partner_B]
    # CPU draws: the same numbers on every device.
    is_own = (torch.rand(inputs.shape) < share).to(inputs.device)
    return torch.where(is_own, inputs, inputs[partner_B])


def check_mixable(inputs: Any) -> None:
    """The inputs are floating-point, or a table whose categories stand beside numbers.

    Raises:
        InvalidValueError: they are not.
    """
    parts = dict(named_parts(inputs))
    whole = {name: part for name, part in parts.items() if not part.is_floating_point()}
    is_table = isinstance(inputs, Mapping) and all(part.ndim == 2 for part in parts.values())
    if whole and not (is_table and len(whole) < len(parts)):
        name, part = next(iter(whole.items()))
        dtype = str(part.dtype).removeprefix("torch.")
        raise InvalidValueError(
            f"mixup: {name} {tuple(part.shape)} {dtype} cannot be mixed",
            known="inputs of floating-point numbers; categories beside numbers of a table",
            fix="take mixup out of data.transforms",
        )


def check_targets(name: str, targets: Any) -> None:
    """The targets are those of records or of pixels, not of the positions of a sequence.

    Raises:
        InvalidValueError: they are not.
    """
    is_tensor = isinstance(targets, Tensor)
    if not is_tensor or (targets.ndim == 2 and not targets.is_floating_point()):
        what = tuple(targets.shape) if is_tensor else type(targets).__name__
        raise InvalidValueError(
            f"{name}: targets {what} of each position cannot be mixed",
            known="classes (B,), numbers (B, K) and masks (B, H, W)",
            fix=f"take {name} out of data.transforms",
        )


def named_parts(inputs: Any, name: str = "the inputs") -> Iterable[tuple[str, Tensor]]:
    """The tensors in a batch's inputs, by the name or number of the argument."""
    if isinstance(inputs, Tensor):
        yield name, inputs
        return
    parts = inputs.items() if isinstance(inputs, Mapping) else enumerate(inputs)
    for key, part in parts:
        yield from named_parts(part, f"input {key}")


def draw_share(alpha: float) -> float:
    """A number from Beta(alpha, alpha), drawn from torch's global generator on the CPU."""
    # In float64: two float32 draws of a small alpha can both be 0.
    concentration = torch.full((2,), alpha, dtype=torch.float64)
    first, second = torch._standard_gamma(concentration).clamp_min(TINY).tolist()
    if first == second == TINY:
        # Smaller than float64 holds; still one of them is far above the other.
        return float(torch.rand(()) < 0.5)
    return first / (first + second)


def check_mixture(name: str, alpha: float, probability: float) -> None:
    """``alpha`` is a number above 0 and ``probability`` a probability.

    Raises:
        InvalidValueError: one is not.
    """
    if not 0 < alpha < math.inf or not 0 <= probability <= 1:
        raise InvalidValueError(
            f"{name}: alpha = {alpha}, probability = {probability};"
            " alpha must be above 0 and probability in [0, 1]"
        )
