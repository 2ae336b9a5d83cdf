"""The tensors of a parameter group as lists, and as rows that the kernel can be asked about."""

import torch
from torch import Tensor

from dlplug.ops._adamw_device import rows_for
from dlplug.ops._adamw_rows import Rows
from dlplug.optim._local_tensors import local_lists

Lists = tuple[list[Tensor], ...]
"""Parameters that have gradients, gradients, exp_avgs, exp_avg_sqs, their maxima, steps."""


class Gathering:
    """For `dlplug.optim.FusedAdamW`."""

    _rows: dict[tuple[int, str], Rows]

    def _gather(self, group: dict) -> Lists:
        """See `Lists`. Where a state is missing, or a graph is traced, PyTorch's code gathers."""
        if torch.compiler.is_compiling():
            return self._gather_by_torch(group)
        params, grads, exp_avgs, exp_avg_sqs, max_exp_avg_sqs, steps = [], [], [], [], [], []
        states, is_amsgrad = self.state, group["amsgrad"]
        for param in group["params"]:
            grad = param.grad
            if grad is None:
                continue
            state = states.get(param)
            if not state:
                return self._gather_by_torch(group)
            params.append(param)
            grads.append(grad)
            exp_avgs.append(state["exp_avg"])
            exp_avg_sqs.append(state["exp_avg_sq"])
            steps.append(state["step"])
            if is_amsgrad:
                max_exp_avg_sqs.append(state["max_exp_avg_sq"])
        return params, grads, exp_avgs, exp_avg_sqs, max_exp_avg_sqs, steps

    def _gather_by_torch(self, group: dict) -> Lists:
        """See `Lists`; makes missing states and refuses sparse gradients, but takes longer."""
        lists = tuple([] for _ in range(6))
        self._init_group(group, *lists)
        return lists

    def _refuse_sparse(self) -> None:
        """Raise in PyTorch's words where a gradient is sparse, before anything is changed."""
        for group in self.param_groups:
            if any([param.grad is not None and param.grad.is_sparse for param in group["params"]]):
                self._gather_by_torch(group)

    def _init_group(self, group: dict, *lists: list[Tensor]) -> bool:
        """PyTorch's; before the first group, states and averages of all of them begin.

        A tracer runs this instead of tracing it, and sees of the states what is there after the
        first call: an average that begins in the trace would replace the state of its parameter.
        """
        if self.ema_decay is not None and group is self.param_groups[0]:
            for each in self.param_groups:
                params, *others = ([] for _ in lists)
                super()._init_group(each, params, *others)
                self._averages_of(params)
        return super()._init_group(group, *lists)

    def _rows_for(self, index: int, which: str, lists: Lists, averages: list[Tensor]) -> Rows:
        """The rows kept for a part of a group, with what this process has of its tensors."""
        if torch.compiler.is_compiling():  # nothing that a later call would have to guard
            return rows_for(lists[0])(*lists, averages)
        rows, kind = self._rows.get((index, which)), rows_for(lists[0])
        if type(rows) is not kind:  # none, or those of a model that has moved
            rows = self._rows[index, which] = kind()
        *tensors, averages, steps = local_lists((*lists[:-1], averages, lists[-1]))
        rows.fill(*tensors, steps, averages)
        return rows
