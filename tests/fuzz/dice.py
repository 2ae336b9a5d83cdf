"""What a random call is made of: sizes, values and layouts, a function of op, seed and index."""

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

DTYPES = (torch.float32, torch.bfloat16, torch.float16)
# None, one, around the widths 4, 8 and 16 of a vector and the loops of 64, 128 and 256 elements.
SIZES = (0, 1, 1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 32, 33, 63, 64, 65, 127, 128, 129, 255, 257)
KINDS = {
    "normal": 60,
    "offset": 6,
    "tiny": 6,
    "huge": 6,
    "denormal": 4,
    "constant": 4,
    "sparse": 4,
    "mixed": 4,
    "special": 6,
}
MARGIN = 17  # elements around a tensor, an odd number so that what follows is misaligned


class Dice(random.Random):
    """Draws the form of a call; its values come from another generator.

    Args:
        op: Name of the op.
        seed: Of the whole run.
        index: Number of the call.
        sibling: Another number gives the same form with other values.
    """

    def __init__(self, op: str, seed: int, index: int, sibling: int = 0):
        super().__init__(f"{op} {seed} {index}")
        self.numbers = torch.Generator().manual_seed(self.getrandbits(48) + sibling)

    def chance(self, probability: float) -> bool:
        return self.random() < probability

    def size(self, largest: int = 300) -> int:
        """Mostly one where loops begin and end, else any up to ``largest``."""
        found = self.choice(SIZES) if self.chance(0.6) else self.randint(0, largest)
        return min(found, largest)

    def shape(self, elements: int, axes: int = 4) -> tuple[int, ...]:
        """Any shape of at most as many elements."""
        shape = []
        for _ in range(self.randint(0, axes)):
            shape.append(self.size(max(1, min(300, elements // max(1, math.prod(shape))))))
        return tuple(self.sample(shape, len(shape)))

    def kind(self, *without: str) -> str:
        """What values are like."""
        kinds = {kind: weight for kind, weight in KINDS.items() if kind not in without}
        return self.choices(list(kinds), list(kinds.values()))[0]

    def power(self, low: float, high: float) -> float:
        """10 to a power drawn evenly."""
        return 10 ** self.uniform(low, high)

    def values(self, shape: tuple[int, ...], dtype: torch.dtype, kind: str = "normal") -> Tensor:
        """Contiguous, of that kind."""
        drawn = torch.randn(shape, generator=self.numbers, dtype=torch.float64)
        limits = torch.finfo(dtype)
        if kind == "offset":
            drawn = drawn + 100
        elif kind == "tiny":  # their squares vanish in the dtype
            drawn = drawn * limits.tiny**0.55
        elif kind == "huge":  # their squares overflow it almost
            drawn = drawn * limits.max**0.4
        elif kind == "denormal":
            drawn = drawn * limits.tiny / 8
        elif kind == "constant":
            drawn = drawn.flatten()[:1].expand(drawn.numel()).view(shape)
        elif kind == "sparse":
            drawn = drawn * self._share(shape, 0.1)
        elif kind == "mixed":
            drawn = drawn * 10 ** torch.randn(shape, generator=self.numbers, dtype=torch.float64)
        elif kind == "special":
            for value in (math.nan, math.inf, -math.inf):
                drawn = drawn.masked_fill(self._share(shape, 0.02), value)
        return drawn.to(dtype)

    def _share(self, shape: tuple[int, ...], share: float) -> Tensor:
        return torch.rand(shape, generator=self.numbers) < share

    def placed(self, x: Tensor, *, is_dense: bool = False, may_expand: bool = True) -> "Placed":
        """The values in memory of their own, in a layout of any kind.

        Args:
            x: The values; where an axis is expanded, its first ones.
            is_dense: No gaps and no expanded axis.
            may_expand: An axis may have the stride 0.
        """
        axes = list(range(x.dim()))
        if self.chance(0.4):
            return placed(x, axes, [1] * x.dim(), [0] * x.dim(), 0)
        order = self.sample(axes, len(axes)) if self.chance(0.5) else axes
        steps, paddings = [1] * len(axes), [0] * len(axes)
        if not is_dense:
            for axis in axes:
                steps[axis] = 2 if self.chance(0.15) else 1
                paddings[axis] = self.randint(1, 3) if self.chance(0.25) else 0
        offset = self.randint(0, 5)
        expanded = self.choice(axes) if axes and may_expand and self.chance(0.15) else None
        if expanded is None or is_dense or x.size(expanded) < 2:
            return placed(x, order, steps, paddings, offset)
        found = placed(x.narrow(expanded, 0, 1), order, steps, paddings, offset)
        return Placed(found.tensor.expand(x.shape), found.memory)


@dataclass(frozen=True)
class Placed:
    """A tensor and the whole of the memory that it lies in.

    Attributes:
        tensor: A view of ``memory``.
        memory: One axis; what the tensor does not cover is NaN, or 1 in other dtypes.
    """

    tensor: Tensor
    memory: Tensor


def placed(
    x: Tensor, order: list[int], steps: list[int], paddings: list[int], offset: int
) -> Placed:
    """The values with their axes in that order of memory, every other element or padded rows.

    Args:
        x: The values.
        order: Axes, that with the largest stride first.
        steps: Of each axis.
        paddings: Elements after each axis.
        offset: Elements before the tensor.
    """
    strides, count = [0] * x.dim(), 1
    for axis in reversed(order):
        strides[axis] = count * steps[axis]
        count *= max(1, x.size(axis) * steps[axis] + paddings[axis])
    return placed_with(x, strides, count, offset)


def placed_with(x: Tensor, strides: Sequence[int], count: int, offset: int) -> Placed:
    """The values with given strides, in memory of ``count`` elements between its margins."""
    outside = math.nan if x.is_floating_point() else 1
    memory = torch.full((MARGIN + offset + count + MARGIN,), outside, dtype=x.dtype)
    tensor = memory.as_strided(x.shape, strides, MARGIN + offset)
    tensor.copy_(x)
    return Placed(tensor, memory)
