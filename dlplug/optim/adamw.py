"""AdamW with one compiled call per parameter group."""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from dlplug.errors import CheckpointError
from dlplug.ops._adamw_device import DeviceRows, rows_for
from dlplug.ops.adamw import OP, Rows, count_versions, update
from dlplug.optim._averaging import Averaging, check_decay
from dlplug.optim._by_torch import ByTorch, Lists, asks_for_torch
from dlplug.optim._gradient_norm import groups_with_parts
from dlplug.optim._known_step import KnownStep
from dlplug.optim._lean_step import LeanZeroGrad, lean_step
from dlplug.optim._loading import Loading
from dlplug.optim._local_tensors import local_lists
from dlplug.optim._on_device import OnDevice, groups_of, parts_by_device, subset
from dlplug.optim._scaling import Scaling

PLAIN_STORAGE = "float32_states"  # the one of CompactAdamW that is a state of AdamW as it is


class FusedAdamW(
    LeanZeroGrad, Loading, Averaging, Scaling, KnownStep, ByTorch, OnDevice, torch.optim.AdamW
):
    """``torch.optim.AdamW`` whose step updates a whole parameter group in one compiled call.

    Same arguments, same state, same checkpoints: a ``state_dict`` of either class loads into the
    other. Parameters that the kernel does not take (float64, complex, gaps in memory) are updated
    by PyTorch's own code; under ``dlplug.ops.use_backend("cpu")`` they are an error. On a GPU each
    device has its own call, and nothing waits for it: what a ``GradScaler`` found and the norm for
    clipping stay there, with shards of several processes, too. Only where some parameters lie on
    the CPU and others on GPUs does the host wait, for the norm of all of them.

    Args:
        params: Parameters, named parameters or groups, as for every optimizer.
        lr: Step size; a tensor of one element is read at each step, as in PyTorch.
        betas: Decay per step of the averages of the gradient and of its square.
        eps: Added to the root, in the gradients' unit.
        weight_decay: Times ``lr`` the fraction of a parameter that is removed per step.
        amsgrad: Divide by the largest average of squares so far.
        maximize: Go up the gradient.
        foreach: None for the kernel; True for PyTorch's foreach code, False for its loop.
        fused: None or True for the kernel, False for PyTorch's loop. True keeps PyTorch's promise:
            what the kernel does not take goes to PyTorch's fused kernel or is refused, and a
            ``GradScaler`` leaves the unscaling to the step, for which reason Lightning's mixed
            precisions refuse to clip gradients; with None they clip.
        capturable: True to keep the step numbers on the GPU, so that a CUDA graph of the step
            counts them; with ``lr`` as a tensor there, the graph reads it anew in each replay.
            PyTorch refuses it for parameters on the CPU.
        differentiable: True for PyTorch's code, through which autograd can differentiate.
        max_grad_norm: Where the norm of all gradients together is larger, the step is that of
            gradients scaled down to it, as after ``clip_grad_norm_``; > 0, or None. What the
            kernel takes keeps its gradients as they are, which saves a pass over them.
        ema_decay: Share of an average of each parameter that a step keeps, in [0, 1); the rest is
            the new parameter. The averages are in ``state[param]["ema"]``, float32 of narrower
            parameters, beginning as the parameter before its first step; the kernel moves them in
            its own pass. None for no averages; a state that is loaded then loses those it has.
    Raises:
        ValueError, RuntimeError: What ``torch.optim.AdamW`` refuses, in its words; sparse
            gradients among it.
        BackendError: The backend that was asked for cannot take a group.
        CheckpointError: in ``load_state_dict``, a state of ``CompactAdamW`` with a storage other
            than ``float32_states``; its ``plain_state_dict()`` is taken.
    Numerics: as ``dlplug.ops.adamw_``. Within ``torch.compile`` the step is one op of the graph,
    with ``fullgraph=True`` too.
    References: Loshchilov, Hutter 2019, arXiv:1711.05101, algorithm 2.
    """

    def __init__(
        self,
        params,
        lr: float | Tensor = 1e-3,
        betas: tuple[float | Tensor, float | Tensor] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
        *,
        amsgrad: bool = False,
        maximize: bool = False,
        foreach: bool | None = None,
        fused: bool | None = None,
        capturable: bool = False,
        differentiable: bool = False,
        max_grad_norm: float | None = None,
        ema_decay: float | None = None,
    ):
        check_decay(ema_decay)
        if max_grad_norm is not None and not max_grad_norm > 0:
            raise ValueError(f"Invalid max_grad_norm: {max_grad_norm}")
        super().__init__(
            params,
            lr,
            betas,
            eps,
            weight_decay,
            amsgrad,
            maximize=maximize,
            foreach=foreach,
            fused=fused,
            capturable=capturable,
            differentiable=differentiable,
        )
        self.max_grad_norm, self.ema_decay = max_grad_norm, ema_decay
        self._rows: dict[tuple[int, str], Rows] = {}
        self._grad_factor = 1.0
        self._forget_tables()

    def __setstate__(self, state: dict) -> None:
        """Restore a copy, a pickle or a checkpoint; addresses are never part of those."""
        super().__setstate__(state)
        self._rows, self._grad_factor = {}, 1.0
        self._forget_tables()

    def __getstate__(self) -> dict:
        """What a copy or a pickle is made of."""
        names = ("max_grad_norm", "ema_decay", "_step_supports_amp_scaling")
        own = {name: vars(self)[name] for name in names if name in vars(self)}
        return {**super().__getstate__(), **own}

    def _check_given(self, state_dict: Mapping[str, Any]) -> None:
        """Its m and v are values, not what a storage of ``CompactAdamW`` makes of them.

        Raises:
            CheckpointError: The state has such a storage.
        """
        for group in state_dict["param_groups"]:
            storage = group.get("storage", PLAIN_STORAGE)
            if storage != PLAIN_STORAGE:
                raise CheckpointError(
                    f"the optimizer's state has storage {storage!r} of CompactAdamW, and FusedAdamW"
                    " takes plain states",
                    fix="load it into such a CompactAdamW, and its plain_state_dict() here",
                )

    def _take(self, state_dict: Mapping[str, Any], groups: list[dict[str, Any]]) -> None:
        """Of a state of this class or of ``torch.optim.AdamW``, which has no averages."""
        self._load_averages(state_dict)

    def why_not_averaging(self) -> str | None:
        """Why the pass of a step cannot move averages that are given to it, or None."""
        if any(asks_for_torch(group) for group in self.param_groups):
            return "its options ask for PyTorch's code"
        return super().why_not_averaging()

    @lean_step
    def step(self, closure: Callable[[], float] | None = None) -> float | None:
        """Update every parameter that has a gradient.

        Args:
            closure: Computes the loss and its gradients again; called first, with grad enabled.
        Returns:
            What ``closure`` returned, or None.
        """
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        if not torch.compiler.is_compiling():
            for rows in self._rows.values():
                rows.prefetch()
        if self._step_as_known():
            return loss
        self._unscale_where_rows_cannot()
        try:
            groups = self._groups_for_kernel()
            if groups is not None:
                self._grad_factor = self._clip_groups([part for _, *part in groups])
                for group, rows, params in groups:
                    self._update_by_kernel(group, rows, params)
            else:
                self._grad_factor = self._clip_shared(self._clip())
                with torch.set_grad_enabled(self.defaults["differentiable"]):
                    self._update_groups()
            self._move_idle()
        finally:
            self._norms = {}
            if not torch.compiler.is_compiling():  # nothing is kept there
                for rows in self._rows.values():
                    rows.release()
        return loss

    def _groups_for_kernel(self) -> list[tuple[dict, Rows, list[Tensor]]] | None:
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
            for which, part in groups_of(lists):
                rows = self._rows_for(index, which, part, self._averages_of(part[0]))
                is_plain = rows.params is part[0]
                is_clipped = self.max_grad_norm is not None
                if is_clipped and not is_plain and None in map(groups_with_parts, part[0]):
                    return None
                if OP.route(rows.params[0], rows) != "native":
                    return None
                groups.append((group, rows, part[0]))
        return groups

    def _clip_groups(self, parts: list[tuple[Rows, list[Tensor]]]) -> float:
        """What the update is to multiply gradients by, as far as that is known here."""
        if all([type(rows) is Rows and rows.params is params for rows, params in parts]):
            return self._clip_rows([rows for rows, _ in parts])
        return self._clip_everywhere(parts)

    def _update_groups(self) -> None:
        """Each by the code that takes it, or its parameters."""
        for index, group in enumerate(self.param_groups):
            if asks_for_torch(group):
                lists = self._gather_by_torch(group)
                averages = self._averages_of(lists[0])
                self._update_by_torch(group, lists, group["foreach"], group["fused"])
                self._move(averages, lists[0])
            elif (lists := self._gather(group))[0]:
                for which, part in parts_by_device(lists):
                    self._update(index, group, part, which)

    def _gather(self, group: dict) -> Lists:
        """Parameters that have gradients, gradients, exp_avgs, exp_avg_sqs, their maxima, steps."""
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

    def _update(self, index: int, group: dict, lists: Lists, which: str) -> None:
        averages = self._averages_of(lists[0])
        rows = self._rows_for(index, which, lists, averages)
        route = OP.route(rows.params[0], rows)
        if route == "native":
            self._update_by_kernel(group, rows, lists[0])
            return
        if route == "reference":
            self._update_by_torch(group, lists, foreach=False, fused=False)
        elif torch.compiler.is_compiling():
            self._update_by_torch(group, lists, foreach=None, fused=None)
        else:
            self._update_by_both(index, group, rows, lists, averages, which)
            return
        self._move(averages, lists[0])

    def _rows_for(self, index: int, which: str, lists: Lists, averages: list[Tensor]) -> Rows:
        if torch.compiler.is_compiling():  # nothing that a later call would have to guard
            return rows_for(lists[0])(*lists, averages)
        rows, kind = self._rows.get((index, which)), rows_for(lists[0])
        if type(rows) is not kind:  # none, or those of a model that has moved
            rows = self._rows[index, which] = kind()
        *tensors, averages, steps = local_lists((*lists[:-1], averages, lists[-1]))
        rows.fill(*tensors, steps, averages)
        return rows

    def _update_by_kernel(self, group: dict, rows: Rows, params: list[Tensor]) -> None:
        if isinstance(rows, DeviceRows) and not torch.compiler.is_compiling():
            self._update_on_device(group, rows)
        elif self._is_skipped():
            return
        else:
            beta1, beta2 = group["betas"]
            update(
                rows,
                group["lr"],
                beta1,
                beta2,
                group["eps"],
                group["weight_decay"],
                group["maximize"],
                self._scale(),
                self._grad_factor,
                self._average_weight,
            )
        if rows.averages:
            self._moved(params)
        if rows.params is not params:
            count_versions(params)

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
        if any([grad.is_sparse for grad in lists[1]]):
            self._gather_by_torch(group)  # raises, before anything is changed
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
