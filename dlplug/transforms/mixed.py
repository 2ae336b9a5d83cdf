"""Targets of records that are a mixture of two."""

from typing import NamedTuple

from torch import Tensor


class Mixed(NamedTuple):
    """Two targets for each record, as mixup and cutmix make them.

    The loss is ``share * loss(output, first) + (1 - share) * loss(output, second)``, which is right
    for any loss, also one that takes no class probabilities.

    Args:
        first: Targets of the records themselves, shape ``(B, ...)``.
        second: Targets of the records that were mixed in, shape ``(B, ...)``.
        share: Of the first, in ``[0, 1]``.
    """

    first: Tensor
    second: Tensor
    share: float

    @property
    def main(self) -> Tensor:
        """The targets with the larger share, which metrics compare with."""
        return self.first if self.share >= 0.5 else self.second
