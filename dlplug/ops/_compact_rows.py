"""Which parameters the kernel of compact AdamW can take, and the table that it is given."""

from array import array
from collections.abc import Sequence
from itertools import chain, starmap
from operator import itemgetter

import torch
from torch import Tensor

from dlplug.ops._adamw_row import refusal_of_grad
from dlplug.ops._compact_row import EXTRAS, refusal_of_layout
from dlplug.ops._known_rows import KnownRows
from dlplug.ops._memory_layout import DTYPE_CODES, PLAIN_TYPES, addresses_of, overlapping
from dlplug.ops._released import have_memory
from dlplug.ops.fallback.compact_adamw import STORAGES, State, storage_for

SCALES = ("exp_avg_scale", "exp_avg_sq_scale")
# All of a state of each storage, as `itemgetter` takes it out in one call.
_STATES = {
    "float32_states": itemgetter("exp_avg", "exp_avg_sq", "step"),
    "remainder": itemgetter("exp_avg", "exp_avg_sq", "remainder", "step"),
    "stochastic": itemgetter("exp_avg", "exp_avg_sq", "step"),
    "kahan": itemgetter("exp_avg", "exp_avg_sq", "compensation", "step"),
    "8bit": itemgetter("exp_avg", "exp_avg_sq", *SCALES, "step"),
}


class CompactRows(KnownRows):
    """The tensors of one update, one parameter a row.

    An optimizer keeps one of these per group.

    Attributes:
        are_new: Whether parameters or states are others than the kernel was last found fit for, or
            have other dtypes, shapes or strides, or another storage.
    """

    def __init__(self):
        super().__init__()
        self.storage = ""

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
        self._are_grads_fit = None
        if torch.compiler.is_compiling():  # a tracer knows no addresses
            self._kept, self.are_new = [], True
            return
        self._states_of = [_STATES[storage_for(param, storage)] for param in params]
        self._kept = self.in_order(params, averages, states)
        self.are_new = not (is_same_storage and self._is_known(self._kept))

    def in_order(
        self, params: Sequence[Tensor], averages: Sequence[Tensor], states: Sequence[State]
    ) -> list[Tensor]:
        """All tensors of the rows but gradients, as `_know` notes them.

        Empty where a state is not of its storage.
        """
        pairs = zip(self._states_of, states, strict=False)
        try:
            return [*params, *averages, *chain.from_iterable([of(state) for of, state in pairs])]
        except (KeyError, TypeError):
            return []

    def refusal(self) -> str | None:
        """Why the kernel, which walks over memory, cannot take these rows, or None."""
        if torch.compiler.is_compiling():
            return "a tracer knows no addresses"
        if self.are_new:
            self._forget()
            if why := self._examine():
                return why
            self._know(self._kept, self.params)
            self._make_table(self._columns())
        if self._take_grads():
            return None
        whys = map(refusal_of_grad, self.params, self.grads)
        return f"a gradient is not fit: {next(filter(None, whys), 'it has no memory')}"

    def table(self, maximize: bool, *numbers: float, seed: int = 0) -> Tensor:
        """As of any rows, with a seed of the random bits, in [0, 2^63)."""
        self._facts = seed, 0
        return super().table(maximize, *numbers)

    def release(self) -> None:
        """Hold no tensor of the last update, which may be as large as the model, for the next."""
        self.params, self.grads, self.states, self.averages = (), (), (), ()
        self._kept, self._copies = [], []

    def _examine(self) -> str | None:
        """Why the kernel cannot take parameters, states or averages, or None."""
        kept = self._kept
        if not kept:
            return "a state is not of its storage"
        if not set(map(type, kept)) <= PLAIN_TYPES:
            return "a tensor is of a subclass"
        if not all([tensor.layout is torch.strided for tensor in kept]):
            return "a tensor is not strided"
        if why := self._why_elsewhere():
            return why
        if not have_memory(kept, addresses_of(kept)):
            return "a tensor's memory was released"
        averages = self.averages or [None] * len(self.params)
        rows = zip(self.params, self.states, averages, strict=True)
        if why := next(filter(None, starmap(refusal_of_layout, rows)), None):
            return why
        if overlapping((t.data_ptr(), t.data_ptr() + t.nbytes, i) for i, t in enumerate(kept)):
            return "a tensor shares memory with another"
        return None

    def _why_elsewhere(self) -> str | None:
        """Why parameters or states lie where the kernel cannot reach them, or None."""
        return None if all([tensor.is_cpu for tensor in self._kept]) else "a tensor is not on cpu"

    def _columns(self) -> array:
        """All columns but that of the gradients, which are new each step."""
        return array(
            "q",
            chain(
                addresses_of(self.params),
                *map(self._of_states, ("exp_avg", "exp_avg_sq")),
                self._of_states(*EXTRAS),
                *map(self._of_states, SCALES),
                addresses_of(self.averages) or [0] * len(self.params),
                self._of_states("step"),
                [STORAGES.index(storage_for(p, self.storage)) for p in self.params],
                self._numels,
                [DTYPE_CODES[dtype] for dtype in self._dtypes],
            ),
        )

    def _of_states(self, *names: str) -> list[int]:
        """The address of the first of these that each state has; 0 for none."""
        return [_first_address(state, names) for state in self.states]


def _first_address(state: State, names: Sequence[str]) -> int:
    return next((state[name].data_ptr() for name in names if name in state), 0)
