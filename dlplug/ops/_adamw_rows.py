"""Which parameters the AdamW kernel can take, and the table of addresses that it is given."""

from array import array
from collections.abc import Iterable, Sequence
from operator import is_

import torch
from torch import Tensor

# As in csrc/common/types.h.
DTYPE_CODES = {torch.float32: 0, torch.bfloat16: 1, torch.float16: 2}
PLAIN_TYPES = {Tensor, torch.nn.Parameter}


class Rows:
    """The tensors of one update, one parameter a row.

    An optimizer keeps one of these per group and fills it each step. What was found out about a
    parameter and its states holds while they are the same objects at the same addresses; then only
    the addresses are asked for, and of the gradients, which are new each step, everything.
    """

    def __init__(self, *lists: Sequence[Tensor]):
        self._known: list[Tensor] = []
        self._addresses: list[int] = []
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
    ) -> None:
        """Take the lists of the next update."""
        self.params = params
        self.grads = grads
        self.states = (exp_avgs, exp_avg_sqs, max_exp_avg_sqs)
        self.steps = steps
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
        """The six lists, in the order of ``fill``."""
        return (self.params, self.grads, *self.states, self.steps)

    def refusal(self) -> str | None:
        """Why the kernel cannot take these rows, or None."""
        if torch.compiler.is_compiling():
            # A tracer knows no addresses, so that rows do not share memory is the caller's promise.
            whys = [_refuse(*row) or _refuse_grad(row[0], grad) for grad, row in self._rows()]
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
        return [why or _refuse_grad(param, grad) for why, param, grad in rows]

    def table(self) -> Tensor:
        """What csrc/ops/adamw.h describes; only right after ``refusal`` gave None."""
        return torch.frombuffer(self._fixed + array("q", self._grad_addresses), dtype=torch.int64)

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

    def _rows(self):
        """Per parameter its gradient, and what is kept: itself, its states, its step."""
        states = [tensors for tensors in self.states if tensors]
        for i, grad in enumerate(self.grads):
            yield grad, (self.params[i], [tensors[i] for tensors in states], self.steps[i])

    def _examine(self) -> None:
        """Look at everything of parameters and states, unless that is known."""
        if self._is_examined:
            return
        self._is_examined = True
        kept = [*self.params, *self.states[0], *self.states[1], *self.states[2], *self.steps]
        if (
            len(kept) == len(self._known)
            and all(map(is_, kept, self._known))
            and [tensor.data_ptr() for tensor in kept] == self._addresses
        ):
            return
        self._known = []
        rows = [row for _, row in self._rows()]
        self._is_regular = not any(_refuse_layout(*row) for row in rows)
        self._whys = [_refuse(*row) for row in rows]
        if self._is_regular:
            self._known, self._addresses = kept, [tensor.data_ptr() for tensor in kept]
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

    def _take_grads(self) -> bool:
        """Look at the gradients; copy those whose elements are not where the parameter's are."""
        if self._are_grads_fit is None:
            self._are_grads_fit = self._look_at_grads()
        return self._are_grads_fit

    def _look_at_grads(self) -> bool:
        grads = self.grads
        try:
            addresses = [grad.data_ptr() for grad in grads]
        except RuntimeError:  # a sparse one
            return False
        if not (
            set(map(type, grads)) <= PLAIN_TYPES
            and [grad.dtype for grad in grads] == self._dtypes
            and [grad.numel() for grad in grads] == self._numels
            and all([grad.is_cpu for grad in grads])
            and addresses.count(0) <= self._numels.count(0)
        ):
            return False
        self._copies = []
        if not (self._are_contiguous and all([grad.is_contiguous() for grad in grads])):
            self._copy_grads(addresses)
        self._grad_addresses = addresses
        return True

    def _copy_grads(self, addresses: list[int]) -> None:
        """Give each gradient whose elements are not where its parameter's are a copy that is."""
        for i, (grad, param) in enumerate(zip(self.grads, self.params, strict=True)):
            if not is_laid_out_as(grad, param) or grad.is_neg():
                copy = torch.empty_like(param).copy_(grad)
                self._copies.append((grad, copy))
                addresses[i] = copy.data_ptr()


def _naming(i: int, why: str) -> str:
    return f"parameter {i}: {why}"


def _refuse(param: Tensor, states: Sequence[Tensor], step: Tensor) -> str | None:
    if why := _refuse_layout(param, states, step):
        return why
    if param.dtype not in DTYPE_CODES:
        return f"{param.dtype} is not float32, bfloat16 or float16"
    if step.dtype is not torch.float32:
        return f"its step is {step.dtype}, not float32"
    return None


def _refuse_layout(param: Tensor, states: Sequence[Tensor], step: Tensor) -> str | None:
    """Why no fused kernel for the CPU can take a parameter, or None."""
    for tensor in (param, *states, step):
        if why := _refuse_kind(tensor):
            return why
        if not torch.compiler.is_compiling() and tensor.is_neg():
            return "it is a view of complex numbers"
    if not param.is_floating_point():
        return f"{param.dtype} is not floating point"
    if not is_dense(param):
        return f"its strides {param.stride()} leave gaps or overlap"
    for state in states:
        if state.dtype is not param.dtype or state.shape != param.shape:
            return "a state has another dtype or shape"
        if not is_laid_out_as(state, param):
            return "a state has other strides"
    return None


def _refuse_grad(param: Tensor, grad: Tensor) -> str | None:
    if why := _refuse_kind(grad):
        return f"its gradient: {why}"
    if grad.dtype is not param.dtype or grad.shape != param.shape:
        return "its gradient has another dtype or shape"
    return None


def _refuse_kind(tensor: Tensor) -> str | None:
    if type(tensor) not in PLAIN_TYPES:
        return f"{type(tensor).__name__} is a tensor subclass"
    if tensor.layout is not torch.strided:
        return f"the layout is {tensor.layout}"
    if not tensor.is_cpu:
        return f"a tensor is on {tensor.device.type}"
    if torch.compiler.is_compiling():
        return None  # a tracer knows no memory
    if tensor.numel() and tensor.data_ptr() == 0:
        return "its memory was released"
    return None


def is_laid_out_as(tensor: Tensor, param: Tensor) -> bool:
    """Whether a tensor of the same shape has its elements at the same places."""
    return (tensor.is_contiguous() and param.is_contiguous()) or tensor.stride() == param.stride()


def is_dense(tensor: Tensor) -> bool:
    """Whether the elements fill a block of memory, in any order of axes."""
    if tensor.is_contiguous():
        return True
    expected = 1
    for stride, size in sorted(zip(tensor.stride(), tensor.shape, strict=True)):
        if size != 1 and stride != expected:
            return False
        expected *= size
    return True


def _sharing_memory(rows: Sequence[tuple[Tensor, Sequence[Tensor], Tensor]]) -> set[int]:
    """Rows that write where another does; they would race, as rows run in parallel."""
    return overlapping(
        (tensor.data_ptr(), tensor.data_ptr() + tensor.nbytes, i)
        for i, (param, states, _) in enumerate(rows)
        for tensor in (param, *states)
        if tensor.numel()
    )


def sharing_gradients(grads: Sequence[Tensor]) -> set[int]:
    """Which of these plain tensors of any strides lie where another does, or between its elements.

    Others (sparse ones, subclasses) share nothing.
    """
    return overlapping(
        (grad.data_ptr(), grad.data_ptr() + _reach(grad) * grad.itemsize, i)
        for i, grad in enumerate(grads)
        if type(grad) in PLAIN_TYPES and grad.layout is torch.strided and grad.numel()
    )


def _reach(tensor: Tensor) -> int:
    """Elements of memory from the first to the last."""
    if tensor.is_contiguous():
        return tensor.numel()
    return 1 + sum(
        (size - 1) * step for size, step in zip(tensor.shape, tensor.stride(), strict=True)
    )


def overlapping(blocks: Iterable[tuple[int, int, int]]) -> set[int]:
    """Owners of blocks of memory, each its start, end and owner, that overlap."""
    found = set()
    last, owner = 0, -1  # where the blocks so far end, and whose that is
    for start, end, i in sorted(blocks):
        if start < last:
            found |= {i, owner}
        if end > last:
            last, owner = end, i
    return found
