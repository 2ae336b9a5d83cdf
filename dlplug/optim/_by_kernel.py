"""AdamW by dlplug's kernels: which parameters each call of them takes."""

from itertools import chain
from operator import itemgetter

import torch
from torch import Tensor

from dlplug.ops._adamw_device import DeviceRows
from dlplug.ops._adamw_kernels import count_versions, update, update_tables
from dlplug.ops._adamw_rows import Rows
from dlplug.ops.adamw import OP
from dlplug.optim._averaging import KEY
from dlplug.optim._by_torch import asks_for_torch
from dlplug.optim._gathering import Gathering
from dlplug.optim._gradient_norm import groups_with_parts
from dlplug.optim._group_options import numbers_of
from dlplug.optim._known_step import KnownStep
from dlplug.optim._on_device import parts_for_kernel

Groups = list[tuple[dict, Rows, list[Tensor]]]
"""Each with rows and their parameters."""
# Of a parameter's state, in the order of the table's columns; with AMSGrad, with an average.
_STATES = {
    (False, False): itemgetter("exp_avg", "exp_avg_sq", "step"),
    (True, False): itemgetter("exp_avg", "exp_avg_sq", "max_exp_avg_sq", "step"),
    (False, True): itemgetter("exp_avg", "exp_avg_sq", KEY, "step"),
    (True, True): itemgetter("exp_avg", "exp_avg_sq", "max_exp_avg_sq", KEY, "step"),
}


class ByKernel(Gathering, KnownStep):
    """For `dlplug.optim.FusedAdamW`: one call for each group and device, or for all groups."""

    _tables_kernel = update_tables
    _grad_factor: float

    def _known_rows(
        self, index: int, group: dict, params: list[Tensor], grads: list[Tensor]
    ) -> Rows | None:
        rows = self._rows.get((index, "all"))
        if type(rows) is not Rows or asks_for_torch(group):
            return None
        states_of = _STATES[group["amsgrad"], self.ema_decay is not None]
        try:
            columns = zip(*map(states_of, map(self.state.get, params)), strict=True)
            kept = [*params, *chain.from_iterable(columns)]
        except (KeyError, TypeError):  # a state is missing, or a part of one
            return None
        return rows if rows.take_if_like_last(kept, grads) else None

    def _table(self, group: dict, rows: Rows, grad_scale: float = 1.0) -> Tensor:
        return rows.table(
            group["maximize"],
            *numbers_of(group),
            grad_scale,
            1.0,
            self._average_weight,
        )

    def _groups_for_kernel(self) -> Groups | None:
        """Each group with its rows and their parameters, if the kernel takes all of all groups.

        What was found out about the gradients then serves their norm, too.
        """
        if torch.compiler.is_compiling() or any(map(asks_for_torch, self.param_groups)):
            return None
        groups = []
        for index, group in enumerate(self.param_groups):
            lists = self._gather(group)
            if not lists[0]:
                continue
            for which, part in parts_for_kernel(lists):
                rows = self._rows_for(index, which, part, self._averages_of(part[0]))
                is_plain = rows.params is part[0]
                is_clipped = self.max_grad_norm is not None
                if is_clipped and not is_plain and None in map(groups_with_parts, part[0]):
                    return None
                if OP.route(rows.params[0], rows) != "native":
                    return None
                groups.append((group, rows, part[0]))
        return groups

    def _update_all_by_kernel(self, groups: Groups) -> None:
        """One call for plain parameters of the CPU, else one for each group."""
        if not all([type(rows) is Rows and rows.params is params for _, rows, params in groups]):
            self._grad_factor = self._clip_everywhere([part for _, *part in groups])
            for group, rows, params in groups:
                self._update_by_kernel(group, rows, params)
        elif groups and not self._is_skipped():
            scale = self._scale()
            self._update_tables(groups, scale)
            for _, rows, params in groups:
                if scale != 1.0:
                    rows.copy_grads_back()
                if rows.averages:
                    self._moved(params)

    def _update_by_kernel(self, group: dict, rows: Rows, params: list[Tensor]) -> None:
        if isinstance(rows, DeviceRows) and not torch.compiler.is_compiling():
            self._update_on_device(group, rows)
        elif self._is_skipped():
            return
        else:
            update(
                rows,
                *numbers_of(group),
                group["maximize"],
                self._scale(),
                self._grad_factor,
                self._average_weight,
            )
        if rows.averages:
            self._moved(params)
        if rows.params is not params:
            count_versions(params)
