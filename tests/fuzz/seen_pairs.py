"""Plain attention that multiplies only the pairs of query and key that see each other.

The fallback multiplies hidden ones by 0, and 0 times an infinity is NaN: what nobody sees leaks.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from unittest import mock

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from dlplug.ops.fallback import attention as reference
from tests.fuzz.call import Results, is_same


def without_leaks(compute: Callable[[], Results]) -> Results:
    """What the fallback computes; where it is not finite, what the pairs that are seen give."""
    found = compute()
    if all(x.isfinite().all() for x in found.values()):
        return found
    with only_seen_pairs():
        seen = compute()
    return {name: torch.where(x.isfinite(), x, seen[name]) for name, x in found.items()}


def leaks_of(compute: Callable[[], Results]) -> dict[str, Tensor]:
    """By result where the fallback has another NaN or infinity than belongs there, bool."""
    right = without_leaks(compute)
    return {name: ~is_same(x, right[name]) for name, x in compute().items()}


@contextmanager
def only_seen_pairs() -> Iterator[None]:
    """The fallback's own attention meanwhile, but for its products.

    They take a number for every pair and width, and their sums round otherwise.
    """
    attend = reference.attention

    def attend_seen(query, key, value, sinks, options):
        seen = _seen(query, key, options)
        if seen is None:
            return attend(query, key, value, sinks, options)
        with _ProductsOf(seen):
            return attend(query, key, value, sinks, options)

    with mock.patch.object(reference, "attention", attend_seen):
        yield


def _seen(query: Tensor, key: Tensor, options: reference.Options) -> Tensor | None:
    """As the fallback says it, and by -inf in a float mask; None for all."""
    seen, mask = reference.visible(query, key, options), options.attn_mask
    if mask is None or mask.dtype == torch.bool:
        return seen
    is_shown = mask > -torch.inf
    return is_shown if seen is None else seen & is_shown


class _ProductsOf(TorchFunctionMode):
    """Hidden factors are 0 before they are multiplied, so that their gradients are as well.

    Attributes:
        seen: Bool, broadcastable to the scores.
        left: The products to come: scores = query @ key^T, output = weights @ value.
    """

    def __init__(self, seen: Tensor):
        super().__init__()
        self.seen = seen[..., None]
        self.left = [self._scores, self._output]

    def __torch_function__(self, function, types, args=(), kwargs=None):
        if function is torch.Tensor.matmul:
            return self.left.pop(0)(*args)
        return function(*args, **(kwargs or {}))

    def _scores(self, query: Tensor, turned_key: Tensor) -> Tensor:
        return (self._shown(query.unsqueeze(-2)) * self._shown(turned_key.mT.unsqueeze(-3))).sum(-1)

    def _output(self, weights: Tensor, value: Tensor) -> Tensor:
        return (weights.unsqueeze(-1) * self._shown(value.unsqueeze(-3))).sum(-2)

    def _shown(self, factor: Tensor) -> Tensor:
        """Of each pair, (..., Q, K, width)."""
        return torch.where(self.seen, factor, 0.0)
