"""Which parameters the AdamW kernel can take, and the table of addresses that it is given."""

from array import array
from collections.abc import Sequence

import torch
from torch import Tensor

from dlplug.ops._adamw_row import Row, refusal_of_grad
from dlplug.ops._known_rows import KnownRows
from dlplug.ops._memory_layout import DTYPE_CODES, overlapping
from dlplug.ops._released import refuse_released

NAMES = ("params", "grads", "exp_avgs", "exp_avg_sqs", "max_exp_avg_sqs", "steps")


class Rows(KnownRows):
    """The tensors of one update, one parameter a row.

    An optimizer keeps one of these per group and fills it with each step that differs from the
    last; one like it takes new gradients alone (`take_if_like_last`).
    """

    def __init__(self, *lists: Sequence[Tensor]):
        super().__init__()
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

    def lists_for_torch_fused(self) -> tuple[Sequence[Tensor], ...] | None:
        """What PyTorch's fused CPU kernel may be given for these rows, or None for nothing.

        It walks over memory without looking at strides: a gradient that lies otherwise than its
        parameter would be paired with the wrong elements, and is copied here.
        """
        # A tracer knows no addresses, and makes kernels of its own; a transform knows none either.
        if torch.compiler.is_compiling() or torch._C._are_functorch_transforms_active():
            return None
        self._examine()
        if not (self._is_regular and self._take_grads()):
            return None
        copies = {id(grad): copy for grad, copy in self._copies}
        grads = [copies.get(id(grad), grad) for grad in self.grads]
        return (self.params, grads, *self.states, self.steps)

    def refuse_released(self) -> None:
        """Raise where a tensor's memory was released: other code would read it, too."""
        for name, tensors in zip((*NAMES, "averages"), self.lists, strict=True):
            refuse_released("adamw_", name, tensors)

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
        self._forget()
        rows = self._rows()
        self._is_regular = not any(row.refusal_of_layout() for row in rows)
        self._whys = [row.refusal() for row in rows]
        if self._is_regular:
            self._know(kept, self.params)
            sharing = _sharing_memory(rows)
            for i in sharing:
                self._whys[i] = self._whys[i] or "it shares memory with another"
            self._is_regular = not sharing
        self._has_refused = any(self._whys)
        if not self._has_refused:
            self._facts = bool(u), bool(self.averages)
            codes = [DTYPE_CODES[dtype] for dtype in self._dtypes]
            self._make_table(array("q", [*self._addresses, *self._numels, *codes]))


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
