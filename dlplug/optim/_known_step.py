"""A step of the very tensors of the last one, with gradients like its: all that most steps are."""

from itertools import chain, repeat
from operator import is_, itemgetter

import torch
from torch import Tensor

from dlplug.ops._adamw_rows import Rows
from dlplug.ops.adamw import is_undisturbed, update_tables
from dlplug.optim._averaging import KEY
from dlplug.optim._by_torch import asks_for_torch

# Of a parameter's state, in the order of the table's columns; with AMSGrad, with an average.
_STATES = {
    (False, False): itemgetter("exp_avg", "exp_avg_sq", "step"),
    (True, False): itemgetter("exp_avg", "exp_avg_sq", "max_exp_avg_sq", "step"),
    (False, True): itemgetter("exp_avg", "exp_avg_sq", KEY, "step"),
    (True, True): itemgetter("exp_avg", "exp_avg_sq", "max_exp_avg_sq", KEY, "step"),
}
_grad_of = torch._C.TensorBase.grad.__get__


class KnownStep:
    """For `dlplug.optim.FusedAdamW`: a step with one look at each tensor and one compiled call.

    For a small network the kernel takes a quarter of a step's time; the rest is looking. Of lists,
    map() and zip() take half of the time of a loop.
    """

    _rows: dict[tuple[int, str], Rows]

    def _step_as_known(self) -> bool:
        """Take the step if nothing has to be found out for it; whether it was taken.

        Parameters and states must lie where and as they lay in an update by the kernel for the CPU,
        gradients as they lay; no scaler, no averages of a caller.
        """
        if (
            getattr(self, "grad_scale", None) is not None
            or getattr(self, "found_inf", None) is not None
            or self._given is not None
            or not is_undisturbed()
        ):
            return False
        tables, taken, has_idle = [], [], False
        for index, group in enumerate(self.param_groups):
            params = group["params"]
            grads = list(map(_grad_of, params))
            if any(map(is_, grads, repeat(None))):
                has_idle = True
                params = [param for param in params if param.grad is not None]
                if not params:  # a frozen group
                    continue
                grads = list(map(_grad_of, params))
            rows = self._rows.get((index, "all"))
            if type(rows) is not Rows or asks_for_torch(group):
                return False
            kept = self._kept(group, params)
            if not rows.take_if_like_last(kept, grads):
                return False
            table = rows.table(
                group["maximize"],
                group["lr"],
                *group["betas"],
                group["eps"],
                group["weight_decay"],
                1.0,
                1.0,
                self._average_weight,
            )
            tables.append(table)
            taken.append(params)
        if not tables:
            return False
        update_tables(tables, taken, self.max_grad_norm or 0.0)
        if has_idle:
            self._move_idle()
        return True

    def _kept(self, group: dict, params: list[Tensor]) -> list[Tensor]:
        """Parameters and states in the order of the table's columns; none if some are missing."""
        states_of = _STATES[group["amsgrad"], self.ema_decay is not None]
        try:
            columns = zip(*map(states_of, map(self.state.get, params)), strict=True)
            return [*params, *chain.from_iterable(columns)]
        except (KeyError, TypeError):
            return []
