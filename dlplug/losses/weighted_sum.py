"""Several losses of the same output and target, added up."""

from collections.abc import Callable, Sequence
from typing import Any

from torch import Tensor, nn

from dlplug.errors import InvalidValueError


class WeightedSum(nn.Module):
    """``sum_i weights_i * losses_i(output, target)``.

    Args:
        losses: In a config their names, or mappings of name and arguments.
        weights: One for each loss, 0 or more and not all 0; None for 1 each.
    Raises:
        InvalidValueError: there are no losses, or the weights do not fit them.
    """

    def __init__(
        self,
        losses: Sequence[Callable[[Tensor, Tensor], Tensor]],
        weights: Sequence[float] | None = None,
    ):
        super().__init__()
        if not losses:
            raise InvalidValueError("loss weighted_sum: there are no losses")
        weights = [1.0] * len(losses) if weights is None else list(weights)
        if len(weights) != len(losses) or min(weights) < 0 or not any(weights):
            raise InvalidValueError(
                f"loss weighted_sum: weights = {weights} for {len(losses)} losses",
                known="one number of 0 or more for each loss, not all 0",
            )
        # Functions as well as modules; a ModuleList would refuse the former.
        self.losses = list(losses)
        self.modules_of_losses = nn.ModuleList(x for x in losses if isinstance(x, nn.Module))
        self.weights = weights

    def forward(self, output: Any, target: Any) -> Tensor:
        """Scalar."""
        terms = zip(self.weights, self.losses, strict=True)
        return sum(weight * loss(output, target) for weight, loss in terms)
