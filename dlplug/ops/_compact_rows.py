"""The table of addresses that the kernel of compact AdamW is given."""

from array import array
from collections.abc import Sequence
from itertools import chain
from operator import is_

import torch
from torch import Tensor

from dlplug.ops._alike import Check, check_like
from dlplug.ops._memory_layout import (
    DTYPE_CODES,
    PLAIN_TYPES,
    is_dense,
    is_laid_out_as,
    overlapping,
)
from dlplug.ops.fallback.compact_adamw import STORAGES, State, storage_for

# What may stand in a state, in the order of the table's columns; one of the first three is `extra`.
EXTRAS = ("remainder", "compensation")
COLUMNS = ("exp_avg", "exp_avg_sq", None, "exp_avg_scale", "exp_avg_sq_scale", "step")
LIKE_PARAM = ("exp_avg", "exp_avg_sq", *EXTRAS)


class CompactRows:
    """The tensors of one update, one parameter a row.

    An optimizer keeps one of these per group. What was found out about parameters and states holds
    while they are the same objects, of the same dtypes and layouts, at the same addresses.

    Attributes:
        are_new: Whether parameters or states are others than the kernel was last found fit for, or
            have other dtypes, shapes or strides, or another storage.
    """

    def __init__(self):
        self.storage = ""
        self._known: list[Tensor] = []
        self._addresses: list[int] = []
        self._is_like_known: Check | None = None
        self._why: str | None = None

    def fill(
        self,
        params: Sequence[Tensor],
        grads: Sequence[Tensor],
        states: Sequence[State],
        storage: str,
        averages: Sequence[Tensor] = (),
    ) -> None:
        """Take the tensors of the next update; averages of all parameters or of none."""
        is_same_storage = storage == self.storage
        self.params, self.grads, self.states, self.storage = params, grads, states, storage
        self.averages = averages
        kept = [*params, *averages, *chain.from_iterable(state.values() for state in states)]
        # `model.float()` and `param.data = ...` give the same objects other dtypes and layouts, the
        # latter at the same address, too.
        self.are_new = not (
            self._is_like_known is not None
            and is_same_storage
            and len(kept) == len(self._known)
            and all(map(is_, kept, self._known))
            and self._is_like_known(*kept)
        )
        if self.are_new:
            self._known, self._addresses, self._is_like_known = kept, [], None

    def refusal(self) -> str | None:
        """Why the kernel, which walks over memory, cannot take these rows, or None."""
        if torch.compiler.is_compiling():
            return "a tracer knows no addresses"
        addresses = [_address(tensor) for tensor in self._known]
        if addresses != self._addresses:
            self._addresses, self._why = addresses, self._examine()
            if self._why is None:
                self._fixed = self._columns()
                self._is_like_known = check_like(self._known)
        return self._why or self._take_grads()

    def table(self) -> Tensor:
        """What csrc/ops/compact_adamw.h describes; only right after `refusal` gave None."""
        numbers = self._fixed + array("q", self._grad_addresses)
        return torch.frombuffer(numbers, dtype=torch.int64)

    def copy_grads_back(self) -> None:
        """After a call that has changed gradients: change those that were copied for it, too."""
        for grad, copy in self._copies:
            grad.copy_(copy)

    def release(self) -> None:
        """Hold no gradient of the last update, which may be as large as the model, for the next."""
        self.grads, self._copies = (), []

    def _examine(self) -> str | None:
        kept = self._known
        if not set(map(type, kept)) <= PLAIN_TYPES:
            return "a tensor is of a subclass"
        if not all([tensor.layout is torch.strided for tensor in kept]):
            return "a tensor is not strided"
        if why := self._why_elsewhere():
            return why
        if any([tensor.numel() and tensor.data_ptr() == 0 for tensor in kept]):
            return "a tensor's memory was released"
        if not DTYPE_CODES.keys() >= {param.dtype for param in self.params}:
            return "a parameter is not float32, bfloat16 or float16"
        for i, (param, state) in enumerate(zip(self.params, self.states, strict=True)):
            if not is_dense(param) or param.is_neg():
                return "a parameter's strides leave gaps or overlap"
            like_it = [state[name] for name in LIKE_PARAM if name in state]
            like_it += self.averages[i : i + 1]
            if not all([tensor.shape == param.shape for tensor in like_it]):
                return "a state has another shape than its parameter"
            if not all([is_laid_out_as(tensor, param) for tensor in like_it]):
                return "a state has other strides than its parameter"
        if overlapping((t.data_ptr(), t.data_ptr() + t.nbytes, i) for i, t in enumerate(kept)):
            return "a tensor shares memory with another"
        return None

    def _why_elsewhere(self) -> str | None:
        """Why the kernel does not reach parameters or states."""
        return None if all([tensor.is_cpu for tensor in self._known]) else "a tensor is not on cpu"

    def _columns(self) -> array:
        """All columns but that of the gradients, which are new each step."""
        columns = [[param.data_ptr() for param in self.params]]
        for name in COLUMNS:
            names = EXTRAS if name is None else (name,)
            if name == "step":
                averages = [average.data_ptr() for average in self.averages]
                columns.append(averages or [0] * len(self.params))
            columns.append(self._of_states(*names))
        columns.append([param.numel() for param in self.params])
        columns.append([DTYPE_CODES[param.dtype] for param in self.params])
        columns.append([STORAGES.index(storage_for(p, self.storage)) for p in self.params])
        return array("q", chain.from_iterable(columns))

    def _of_states(self, *names: str) -> list[int]:
        """The address of the first of these that each state has; 0 for none."""
        return [_first_address(state, names) for state in self.states]

    def _take_grads(self) -> str | None:
        """Their addresses; those that lie otherwise than their parameters are copied."""
        self._copies, self._grad_addresses = [], []
        for param, grad in zip(self.params, self.grads, strict=True):
            if type(grad) not in PLAIN_TYPES or grad.layout is not torch.strided:
                return "a gradient is sparse or of a subclass"
            is_beside = grad.is_cpu if param.is_cpu else grad.device == param.device
            if not is_beside or grad.dtype is not param.dtype or grad.shape != param.shape:
                return "a gradient is not like its parameter"
            address = grad.data_ptr()
            if address == 0 and grad.numel():
                return "a gradient's memory was released"
            if not is_laid_out_as(grad, param) or grad.is_neg():
                given, grad = grad, torch.empty_like(param).copy_(grad)
                self._copies.append((given, grad))
                address = grad.data_ptr()
            self._grad_addresses.append(address)
        return None


def _address(tensor: Tensor) -> int:
    """0 where there is no memory that could be addressed, as of a tensor that is traced."""
    return tensor.data_ptr() if type(tensor) in PLAIN_TYPES else 0


def _first_address(state: State, names: Sequence[str]) -> int:
    return next((state[name].data_ptr() for name in names if name in state), 0)
