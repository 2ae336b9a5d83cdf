"""The gradients of AdamW's rows, which are new each step: whether they fit, and where they are."""

from array import array
from collections.abc import Sequence

import torch
from torch import Tensor

from dlplug.ops._alike import Check, check_like
from dlplug.ops._memory_layout import PLAIN_TYPES, addresses_of, is_laid_out_as
from dlplug.ops._released import LONGEST, have_memory

# Of a list of tensors, map() calls these in half of the time that a comprehension takes.
_numel_of = torch._C.TensorBase.numel
_is_contiguous = torch._C.TensorBase.is_contiguous
_is_neg = torch._C.TensorBase.is_neg
_dtype_of = torch._C.TensorBase.dtype.__get__
_is_on_cpu = torch._C.TensorBase.is_cpu.__get__


class RowGradients:
    """For `dlplug.ops._known_rows.KnownRows`, which examine the parameters first."""

    params: Sequence[Tensor]
    grads: Sequence[Tensor]
    _copies: list[tuple[Tensor, Tensor]]
    _is_like_known_grads: Check | None
    _are_grads_fit: bool | None  # or not looked at yet
    _numels: list[int]
    _dtypes: list[torch.dtype]
    _are_contiguous: bool
    _fixed: array

    def grad_columns(self) -> tuple[array, array, array]:
        """Addresses of the gradients, numbers of elements, codes of dtypes; as for ``table``."""
        count = len(self._grad_addresses)
        fixed = self._fixed
        return array("q", self._grad_addresses), fixed[-2 * count : -count], fixed[-count:]

    def copy_grads_back(self) -> None:
        """After a call that has changed gradients: change those that were copied for it, too."""
        for grad, copy in self._copies:
            grad.copy_(copy)

    def _take_grads(self) -> bool:
        """Whether the kernel can take the gradients, some of them as copies laid out for it."""
        if self._are_grads_fit is None:
            self._are_grads_fit = self._look_at_grads()
        return self._are_grads_fit

    def _look_at_grads(self) -> bool:
        grads = self.grads
        try:
            if not self._have_memory(grads):
                return False
        except RuntimeError:  # a sparse one
            return False
        self._copies = []
        if self._is_like_known_grads is not None and self._is_like_known_grads(*grads):
            return True
        self._is_like_known_grads = None
        if not (
            set(map(type, grads)) <= PLAIN_TYPES
            and list(map(_dtype_of, grads)) == self._dtypes
            and list(map(_numel_of, grads)) == self._numels
            and self._are_beside(grads)
        ):
            return False
        is_plain = self._are_contiguous and all(map(_is_contiguous, grads))
        if not is_plain or any(map(_is_neg, grads)):
            self._copy_grads(self._grad_addresses)
        if not self._copies:
            self._is_like_known_grads = check_like(grads)
        return True

    def _have_memory(self, grads: Sequence[Tensor]) -> bool:
        """Whether all have memory for their elements; notes where it begins."""
        self._grad_addresses = addresses = addresses_of(grads)
        return min(addresses) >= LONGEST or have_memory(grads, addresses)  # one call less

    def _are_beside(self, grads: Sequence[Tensor]) -> bool:
        """Whether they are on the device of their parameters."""
        return all(map(_is_on_cpu, grads))

    def _copy_grads(self, addresses: list[int]) -> None:
        """Copy each gradient that is not laid out as its parameter into memory that is."""
        for i, (grad, param) in enumerate(zip(self.grads, self.params, strict=True)):
            if not is_laid_out_as(grad, param) or grad.is_neg():
                copy = torch.empty_like(param).copy_(grad.detach())
                self._copies.append((grad, copy))
                addresses[i] = copy.data_ptr()
