"""What tensors were in a step before the call that is judged, for rows that are kept between them.

The objects are the same, their contents (``param.data``) others: nothing that was found out about
those may be taken for true of these.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor

from dlplug import ops
from tests.fuzz.dice import Dice, Placed


def former_of(dice: Dice, param: Tensor, dtypes: Sequence[torch.dtype]) -> Tensor | None:
    """A parameter of another address, shape, order of axes or dtype; None for `turned` ones."""
    kind = dice.choice(("address", "shape", "order", "dtype", "turned"))
    if kind == "turned":
        return None
    shape = dice.shape(400) if kind == "shape" else tuple(param.shape)
    former = torch.ones(shape, dtype=dice.choice(dtypes) if kind == "dtype" else param.dtype)
    return turned(turned(former).contiguous()) if kind == "order" else former


def turned(x: Tensor) -> Tensor:
    """The same memory with the axes in the opposite order."""
    return x.permute(tuple(reversed(range(x.dim()))))


@contextmanager
def undone(inputs: Sequence[Placed]) -> Iterator[None]:
    """Whatever takes a step of the same memory leaves nothing there."""
    before = [x.memory.clone() for x in inputs]
    with ops.use_backend("auto"):
        yield
    for x, memory in zip(inputs, before, strict=True):
        x.memory.copy_(memory)


def objects_of(contents: Sequence[Tensor]) -> list[Tensor]:
    """New objects in the same memory."""
    return [x.detach() for x in contents]


def give(objects: Sequence[Tensor], contents: Sequence[Tensor]) -> None:
    """Let objects have other contents."""
    for x, content in zip(objects, contents, strict=True):
        x.data = content
