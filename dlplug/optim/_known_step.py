"""The fast path of a step: the same tensors as in the last one, with gradients like its."""

from collections.abc import Sequence
from itertools import repeat
from operator import is_

import torch
from torch import Tensor

from dlplug.ops import _backend
from dlplug.ops._adamw_kernels import count_versions
from dlplug.ops._known_rows import KnownRows
from dlplug.ops._library import Kernel

_grad_of = torch._C.TensorBase.grad.__get__


class KnownStep:
    """For an optimizer: a step with one look at each tensor and one compiled call.

    For a small network the kernel takes a quarter of a step's time; the rest goes into looking at
    the tensors. Hence map() and zip(), which take half of the time of a loop over a list.
    """

    _tables_kernel: Kernel  # of the CPU: (tables, max_norm)
    _rows: dict[tuple[int, str | int], KnownRows]
    max_grad_norm: float | None

    def _known_rows(
        self, index: int, group: dict, params: list[Tensor], grads: list[Tensor]
    ) -> KnownRows | None:
        """A group's rows, if these parameters and gradients need not be examined anew.

        None also where an option asks for anything but the kernel for the CPU.
        """
        raise NotImplementedError

    def _table(self, group: dict, rows: KnownRows, grad_scale: float = 1.0) -> Tensor:
        """The rows' table with the numbers of this step."""
        raise NotImplementedError

    def _prefetch(self) -> None:
        """Prefetch the tensors of the last step, before the lists of this one are made."""
        if not torch.compiler.is_compiling():
            for rows in self._rows.values():
                rows.prefetch()

    def _step_as_known(self) -> bool:
        """Take the step if nothing has to be found out for it; whether it was taken.

        Parameters and states must lie where and as they lay in an update by the kernel for the CPU,
        gradients as they lay; no scaler, no averages of a caller, no limit that is refused.
        """
        if (
            getattr(self, "grad_scale", None) is not None
            or getattr(self, "found_inf", None) is not None
            or self._given is not None
            or (self.max_grad_norm is not None and not self.max_grad_norm > 0)
            or "cpu" not in self._tables_kernel.devices
            or not _backend.is_undisturbed("cpu")
        ):
            return False
        known, has_idle = [], False
        for index, group in enumerate(self.param_groups):
            params = group["params"]
            grads = list(map(_grad_of, params))
            if any(map(is_, grads, repeat(None))):
                has_idle = True
                params = [param for param in params if param.grad is not None]
                if not params:  # a frozen group
                    continue
                grads = list(map(_grad_of, params))
            rows = self._known_rows(index, group, params, grads)
            if rows is None:
                return False
            known.append((group, rows, params))
        if not known:
            return False
        self._update_tables(known)
        if has_idle:
            self._move_idle()
        return True

    def _update_tables(
        self, groups: Sequence[tuple[dict, KnownRows, list[Tensor]]], grad_scale: float = 1.0
    ) -> None:
        """Update rows of the CPU that were just found fit, in one call, and clipped by one norm.

        Args:
            groups: Each with its rows and their parameters.
            grad_scale: What gradients are divided by first; they keep the quotient.
        """
        tables = []
        for group, rows, _ in groups:  # a comprehension would be one more call
            tables.append(self._table(group, rows, grad_scale))
        # Not through Kernel, which looks for gradients: a table of addresses has none.
        self._tables_kernel.op(tables, (self.max_grad_norm or 0.0) * grad_scale)
        for _, _, params in groups:
            count_versions(params)
