"""Which parameters the AdamW kernel can take, and the table of addresses that it is given."""

from array import array
from collections.abc import Sequence
from struct import Struct

import torch
from torch import Tensor

from dlplug.ops._adamw_row import Row, refusal_of_grad
from dlplug.ops._alike import Check, check_like
from dlplug.ops._memory_layout import DTYPE_CODES, PLAIN_TYPES, is_laid_out_as, overlapping
from dlplug.ops._prefetch import lines_of, prefetch

# Bytes of elements from which on the tensors' own objects are not in a cache by the next step.
CACHE = 2**20
# With which a table begins: two facts about the rows; maximize; lr, beta1, beta2, eps,
# weight_decay, grad_scale, grad_factor, average_weight.
NUMBERS = Struct("=3q8d")
# Of a list of tensors, map() calls these in half of the time that a comprehension takes.
_addresses_of = torch._C.TensorBase.data_ptr
_nbytes_of = torch._C.TensorBase.nbytes.__get__
_numel_of = torch._C.TensorBase.numel
_is_contiguous = torch._C.TensorBase.is_contiguous
_dtype_of = torch._C.TensorBase.dtype.__get__
_is_on_cpu = torch._C.TensorBase.is_cpu.__get__


class Rows:
    """The tensors of one update, one parameter a row.

    An optimizer keeps one of these per group and fills it each step. What was found out about
    parameters and states holds while what it is given then lies at the same addresses with the same
    layouts and dtypes; about gradients, which are new each step, while they are like the last ones.
    """

    def __init__(self, *lists: Sequence[Tensor]):
        self._lines: Tensor | None = None
        self._addresses: list[int] = []
        self._is_like_known: Check | None = None
        self._is_like_known_grads: Check | None = None
        self._copies: list[tuple[Tensor, Tensor]] = []
        self.fill(*lists)

    def fill(
        self,
        params: Sequence[Tensor] = (),
        grads: Sequence[Tensor] = (),
        exp_avgs: Sequence[Tensor] = (),
        exp_avg_sqs: Sequence[Tensor] = (),
        max_exp_avg_sqs: Sequence[Tensor] = (),
        steps: Sequence[Tensor] = (),
        averages: Sequence[Tensor] = (),
    ) -> None:
        """Take the lists of the next update."""
        self.params = params
        self.grads = grads
        self.states = (exp_avgs, exp_avg_sqs, max_exp_avg_sqs)
        self.steps = steps
        self.averages = averages
        self._is_examined = False  # since they were filled in
        self._are_grads_fit: bool | None = None

    def release(self) -> None:
        """Hold no tensor of the last update, which may be as large as the model, for the next.

        What is known of parameters and states stays known.
        """
        self.fill()
        self._copies = []

    @property
    def lists(self) -> tuple[Sequence[Tensor], ...]:
        """The seven lists, in the order of ``fill``."""
        return (self.params, self.grads, *self.states, self.steps, self.averages)

    def prefetch(self) -> None:
        """Ask for the tensors of the last update, before the lists of the next are made."""
        if self._lines is not None:
            prefetch(self._lines)

    def refusal(self) -> str | None:
        """Why the kernel cannot take these rows, or None."""
        if torch.compiler.is_compiling():
            # A tracer knows no addresses, so that rows do not share memory is the caller's promise.
            whys = [row.refusal() or refusal_of_grad(row.param, row.grad) for row in self._rows()]
            return next((_naming(i, why) for i, why in enumerate(whys) if why), None)
        self._examine()
        if not self._has_refused and self._take_grads():
            return None
        whys = enumerate(self.refusals())
        return next((_naming(i, why) for i, why in whys if why), "a gradient has no memory")

    def refusals(self) -> list[str | None]:
        """The reason for each row, or None."""
        self._examine()
        if self._is_regular and self._take_grads():
            return self._whys
        rows = zip(self._whys, self.params, self.grads, strict=True)
        return [why or refusal_of_grad(param, grad) for why, param, grad in rows]

    def table(self, maximize: bool, *numbers: float) -> Tensor:
        """What csrc/ops/adamw.h describes; only right after ``refusal`` gave None.

        It is the same tensor, with other numbers in it, as long as the rows stay known.

        Args:
            maximize: Go up the gradient.
            *numbers: lr, beta1, beta2, eps, weight_decay, grad_scale, grad_factor, average_weight.
        """
        facts = bool(self.states[2]), bool(self.averages), maximize
        NUMBERS.pack_into(self._memory, 0, *facts, *numbers)
        self._memory[self._first_grad :] = array("q", self._grad_addresses)
        return self._table

    def grad_columns(self) -> tuple[array, array, array]:
        """Addresses of the gradients, numbers of elements, codes of dtypes; as for ``table``."""
        count = len(self._grad_addresses)
        fixed = self._fixed
        return array("q", self._grad_addresses), fixed[-2 * count : -count], fixed[-count:]

    def copy_grads_back(self) -> None:
        """After a call that has changed gradients: change those that were copied for it, too."""
        for grad, copy in self._copies:
            grad.copy_(copy)

    def lists_for_torch_fused(self) -> tuple[Sequence[Tensor], ...] | None:
        """What PyTorch's fused CPU kernel may be given for these rows, or None for nothing.

        It walks over memory without looking at strides: a gradient that lies otherwise than its
        parameter would be paired with the wrong elements, and is copied here.
        """
        if torch.compiler.is_compiling():
            return None  # a tracer knows no addresses, and makes kernels of its own
        self._examine()
        if not (self._is_regular and self._take_grads()):
            return None
        copies = {id(grad): copy for grad, copy in self._copies}
        grads = [copies.get(id(grad), grad) for grad in self.grads]
        return (self.params, grads, *self.states, self.steps)

    def _rows(self) -> list[Row]:
        states = [tensors for tensors in self.states if tensors]
        return [
            Row(
                self.params[i],
                grad,
                [tensors[i] for tensors in states],
                self.steps[i],
                self.averages[i] if self.averages else None,
            )
            for i, grad in enumerate(self.grads)
        ]

    def _examine(self) -> None:
        """Look at everything of parameters and states, unless that is known."""
        if self._is_examined:
            return
        self._is_examined = True
        # In the order of the table's columns.
        m, v, u = self.states
        kept = [*self.params, *m, *v, *u, *self.averages, *self.steps]
        if (
            self._is_like_known is not None
            and len(kept) == len(self._addresses)
            and self._is_like_known(*kept)
            and list(map(_addresses_of, kept)) == self._addresses
        ):
            return
        self._is_like_known = self._is_like_known_grads = None
        rows = self._rows()
        self._is_regular = not any(row.refusal_of_layout() for row in rows)
        self._whys = [row.refusal() for row in rows]
        if self._is_regular:
            self._addresses = list(map(_addresses_of, kept))
            self._is_like_known = check_like(kept)
            self._numels = [param.numel() for param in self.params]
            self._dtypes = [param.dtype for param in self.params]
            # A single element is contiguous even as a view of complex numbers, negation pending.
            self._are_contiguous = all(p.is_contiguous() and p.numel() != 1 for p in self.params)
            sharing = _sharing_memory(rows)
            for i in sharing:
                self._whys[i] = self._whys[i] or "it shares memory with another"
            self._is_regular = not sharing
        self._has_refused = any(self._whys)
        if not self._has_refused:
            codes = [DTYPE_CODES[dtype] for dtype in self._dtypes]
            self._fixed = array("q", [*self._addresses, *self._numels, *codes])
            self._make_table()
            is_large = sum(map(_nbytes_of, kept)) > CACHE
            # The rows are looked at for PyTorch's fused kernel, too, where there is no library.
            self._lines = lines_of(kept) if is_large and "cpu" in prefetch.devices else None

    def _make_table(self) -> None:
        self._memory = array("q", bytes(NUMBERS.size)) + self._fixed
        self._first_grad = len(self._memory)
        self._memory.extend([0] * len(self.params))
        self._table = torch.frombuffer(self._memory, dtype=torch.int64)

    def _take_grads(self) -> bool:
        """Look at the gradients; copy those whose elements are not where the parameter's are."""
        if self._are_grads_fit is None:
            self._are_grads_fit = self._look_at_grads()
        return self._are_grads_fit

    def _look_at_grads(self) -> bool:
        grads = self.grads
        try:
            addresses = list(map(_addresses_of, grads))
        except RuntimeError:  # a sparse one
            return False
        self._grad_addresses = addresses
        if 0 in addresses and addresses.count(0) > self._numels.count(0):
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
        if self._are_contiguous and all(map(_is_contiguous, grads)):
            self._is_like_known_grads = check_like(grads)
        else:
            self._copy_grads(addresses)
        return True

    def _are_beside(self, grads: Sequence[Tensor]) -> bool:
        """Whether they are where the kernel takes parameters from."""
        return all(map(_is_on_cpu, grads))

    def _copy_grads(self, addresses: list[int]) -> None:
        """Give each gradient whose elements are not where its parameter's are a copy that is."""
        for i, (grad, param) in enumerate(zip(self.grads, self.params, strict=True)):
            if not is_laid_out_as(grad, param) or grad.is_neg():
                copy = torch.empty_like(param).copy_(grad.detach())
                self._copies.append((grad, copy))
                addresses[i] = copy.data_ptr()


def _naming(i: int, why: str) -> str:
    return f"parameter {i}: {why}"


def _sharing_memory(rows: Sequence[Row]) -> set[int]:
    """Rows that write where another does; they would race, as rows run in parallel."""
    return overlapping(
        (tensor.data_ptr(), tensor.data_ptr() + tensor.nbytes, i)
        for i, row in enumerate(rows)
        for tensor in row.written
        if tensor.numel()
    )
