"""AdamW group by group, each by the code that takes it: a kernel, PyTorch's, or both."""

import torch
from torch import Tensor

from dlplug.ops._adamw_rows import Rows
from dlplug.ops.adamw import OP
from dlplug.optim._by_kernel import ByKernel
from dlplug.optim._by_torch import ByTorch, asks_for_torch
from dlplug.optim._gathering import Lists
from dlplug.optim._on_device import parts_by_device, subset


class ByEither(ByKernel, ByTorch):
    """For `dlplug.optim.FusedAdamW`."""

    def _update_groups(self) -> None:
        """Update each group by the code that takes it, or its parameters by the code of each."""
        for index, group in enumerate(self.param_groups):
            if asks_for_torch(group):
                lists = self._gather_by_torch(group)
                averages = self._averages_of(lists[0])
                self._update_by_torch(group, lists, group["foreach"], group["fused"])
                self._move(averages, lists[0])
            elif (lists := self._gather(group))[0]:
                for which, part in parts_by_device(lists):
                    self._update(index, group, part, which)

    def _update(self, index: int, group: dict, lists: Lists, which: str) -> None:
        averages = self._averages_of(lists[0])
        rows = self._rows_for(index, which, lists, averages)
        route = OP.route(rows.params[0], rows)
        if route == "native":
            self._update_by_kernel(group, rows, lists[0])
            return
        rows.refuse_released()
        if route == "reference":
            self._update_by_torch(group, lists, foreach=False, fused=False)
        elif torch.compiler.is_compiling():
            self._update_by_torch(group, lists, foreach=None, fused=None)
        else:
            self._update_by_both(index, group, rows, lists, averages, which)
            return
        self._move(averages, lists[0])

    def _update_by_both(
        self,
        index: int,
        group: dict,
        rows: Rows,
        lists: Lists,
        averages: list[Tensor],
        which: str,
    ) -> None:
        """The kernel for the parameters that it takes, PyTorch's code for the others."""
        refusals = rows.refusals()
        fit = [i for i, why in enumerate(refusals) if why is None]
        if fit:
            fit_lists = subset(lists, fit)
            fit_averages = [averages[i] for i in fit if averages]
            fit_rows = self._rows_for(index, f"fit of {which}", fit_lists, fit_averages)
            if OP.route(fit_rows.params[0], fit_rows) == "native":
                self._update_by_kernel(group, fit_rows, fit_lists[0])
                others = [i for i, why in enumerate(refusals) if why is not None]
                lists, averages = subset(lists, others), [averages[i] for i in others if averages]
                rows = self._rows_for(index, f"others of {which}", lists, [])
        if lists[0]:
            self._update_others(group, rows, lists)
            self._move(averages, lists[0])
