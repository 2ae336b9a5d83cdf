"""Which parameters the AdamW kernel can take, and the table of addresses that it is given."""

from array import array
from collections.abc import Sequence
from struct import Struct

import torch
from torch import Tensor

from dlplug.ops._adamw_gradients import RowGradients
from dlplug.ops._adamw_row import Row, refusal_of_grad
from dlplug.ops._alike import Check, check_like
from dlplug.ops._memory_layout import DTYPE_CODES, addresses_of, overlapping
from dlplug.ops._prefetch import lines_of, prefetch

# Bytes of elements from which on the tensors' own objects are not in a cache by the next step.
CACHE = 2**20
# With which a table begins: two facts about the rows; maximize; lr, beta1, beta2, eps,
# weight_decay, grad_scale, grad_factor, average_weight.
NUMBERS = Struct("=3q8d")
_nbytes_of = torch._C.TensorBase.nbytes.__get__


class Rows(RowGradients):
    """The tensors of one update, one parameter a row.

    An optimizer keeps one of these per group and fills it with each step that differs from the
    last; one like it takes new gradients alone (`take_if_like_last`). What was found out about
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

    def take_if_like_last(self, kept: Sequence[Tensor], grads: Sequence[Tensor]) -> bool:
        """Whether these need no look of their own, after an update by the kernel; then ``table``
        is theirs, and nothing is held.

        Args:
            kept: All but the gradients, in the order of the table's columns.
            grads: One for each row.
        """
        if not self._is_known(kept) or self._has_refused:
            return False
        is_like = self._is_like_known_grads
        return is_like is not None and is_like(*grads) and self._have_memory(grads)

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
        NUMBERS.pack_into(self._memory, 0, *self._has, maximize, *numbers)
        self._memory[self._first_grad :] = array("q", self._grad_addresses)
        return self._table

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
        if self._is_known(kept):
            return
        self._is_like_known = self._is_like_known_grads = None
        rows = self._rows()
        self._is_regular = not any(row.refusal_of_layout() for row in rows)
        self._whys = [row.refusal() for row in rows]
        if self._is_regular:
            self._addresses = addresses_of(kept)
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

    def _is_known(self, kept: Sequence[Tensor]) -> bool:
        """Whether they lie where and as those lay that were looked at."""
        return (
            self._is_like_known is not None
            and len(kept) == len(self._addresses)
            and self._is_like_known(*kept)
            and addresses_of(kept) == self._addresses
        )

    def _make_table(self) -> None:
        self._has = bool(self.states[2]), bool(self.averages)
        self._memory = array("q", bytes(NUMBERS.size)) + self._fixed
        self._first_grad = len(self._memory)
        self._memory.extend([0] * len(self.params))
        self._table = torch.frombuffer(self._memory, dtype=torch.int64)


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
