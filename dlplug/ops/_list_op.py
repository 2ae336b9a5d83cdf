"""Routing of the ops that take lists of tensors."""

from collections.abc import Callable
from dataclasses import dataclass

from dlplug.ops import _backend


@dataclass(frozen=True)
class ListOp(_backend.Op):
    """Routes by the device of the first tensor of the first list.

    Attributes:
        gathered: Makes of the public function's arguments what ``refuse`` is given after that
            tensor.
    """

    gathered: Callable

    def explain(self, first, *others) -> _backend.Explanation:
        """The backend that a call with these lists takes."""
        if not first:
            return _backend.Explanation(self.name, "reference")
        return super().explain(first[0], self.gathered(first, *others))
