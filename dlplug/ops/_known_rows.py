"""What is known of the tensors of an optimizer's last update, and the table of their addresses."""

from array import array
from collections.abc import Sequence
from struct import Struct

import torch
from torch import Tensor

from dlplug.ops._adamw_gradients import RowGradients
from dlplug.ops._alike import Check, check_like
from dlplug.ops._memory_layout import addresses_of
from dlplug.ops._prefetch import lines_of, prefetch

# Bytes of elements beyond which the tensors' objects have left the caches by the next step.
CACHE = 2**20
# What a table begins with: two facts about the rows; maximize; lr, beta1, beta2, eps, weight_decay,
# grad_scale, grad_factor, average_weight.
NUMBERS = Struct("=3q8d")
_nbytes_of = torch._C.TensorBase.nbytes.__get__


class KnownRows(RowGradients):
    """Rows of a kernel for the CPU that are examined once, and again when they have changed.

    What was found out about parameters and states holds as long as they lie at the same addresses
    with the same layouts and dtypes; about gradients, which are new tensors in each step, as long
    as they have the layouts and dtypes of the last ones.
    """

    def __init__(self):
        self._lines: Tensor | None = None
        self._addresses: list[int] = []
        self._is_like_known: Check | None = None
        self._is_like_known_grads: Check | None = None
        self._copies: list[tuple[Tensor, Tensor]] = []
        self._has_refused = False
        self._facts = 0, 0

    def prefetch(self) -> None:
        """Prefetch the tensors of the last update, before the lists of the next are made."""
        if self._lines is not None:
            prefetch(self._lines)

    def take_if_like_last(self, kept: Sequence[Tensor], grads: Sequence[Tensor]) -> bool:
        """Whether these need not be examined anew, after an update by the kernel; then ``table``
        is theirs, and no tensor is held.

        Args:
            kept: All but the gradients, in the order in which they became known.
            grads: One for each row.
        """
        if not self._is_known(kept) or self._has_refused:
            return False
        is_like = self._is_like_known_grads
        return is_like is not None and is_like(*grads) and self._have_memory(grads)

    def table(self, maximize: bool, *numbers: float) -> Tensor:
        """What csrc/ops describes for the kernel; only right after ``refusal`` gave None.

        It is the same tensor, with other numbers in it, as long as the rows stay known.

        Args:
            maximize: Go up the gradient.
            *numbers: lr, beta1, beta2, eps, weight_decay, grad_scale, grad_factor, average_weight.
        """
        NUMBERS.pack_into(self._memory, 0, *self._facts, maximize, *numbers)
        self._memory[self._first_grad :] = array("q", self._grad_addresses)
        return self._table

    def _is_known(self, kept: Sequence[Tensor]) -> bool:
        """Whether they have the addresses, layouts and dtypes of those that were examined."""
        return (
            self._is_like_known is not None
            and len(kept) == len(self._addresses)
            and self._is_like_known(*kept)
            and addresses_of(kept) == self._addresses
        )

    def _forget(self) -> None:
        self._is_like_known = self._is_like_known_grads = None

    def _know(self, kept: Sequence[Tensor], params: Sequence[Tensor]) -> None:
        """Note tensors that were examined, and what gradients have to be like."""
        self._addresses = addresses_of(kept)
        self._is_like_known = check_like(kept)
        self._numels = [param.numel() for param in params]
        self._dtypes = [param.dtype for param in params]
        self._are_contiguous = all([param.is_contiguous() for param in params])
        is_large = sum(map(_nbytes_of, kept)) > CACHE
        # The rows are looked at for PyTorch's fused kernel, too, where there is no library.
        self._lines = lines_of(kept) if is_large and "cpu" in prefetch.devices else None

    def _make_table(self, columns: array) -> None:
        """Of all columns but that of the gradients, which are new each step."""
        self._fixed = columns
        self._memory = array("q", bytes(NUMBERS.size)) + columns
        self._first_grad = len(self._memory)
        self._memory.extend([0] * len(self._numels))
        self._table = torch.frombuffer(self._memory, dtype=torch.int64)
