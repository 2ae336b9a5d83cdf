"""AdamW with one compiled call for all parameter groups."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from dlplug.errors import InvalidValueError
from dlplug.optim._averaging import Averaging, check_decay
from dlplug.optim._by_either import ByEither
from dlplug.optim._by_torch import asks_for_torch
from dlplug.optim._copying import Copying
from dlplug.optim._group_options import check_options
from dlplug.optim._lean_step import LeanZeroGrad, lean_step
from dlplug.optim._on_device import OnDevice
from dlplug.optim._plain_checkpoint import PLAIN_STORAGE, PlainCheckpoint
from dlplug.optim._scaling import Scaling


class FusedAdamW(
    LeanZeroGrad,
    Copying,
    PlainCheckpoint,
    Averaging,
    Scaling,
    ByEither,
    OnDevice,
    torch.optim.AdamW,
):
    """``torch.optim.AdamW`` whose step updates all parameter groups in one compiled call.

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
            Once a step was captured, ``load_state_dict`` writes where the states are, so that the
            graph goes on from there. PyTorch refuses it for parameters on the CPU.
        differentiable: True for PyTorch's code, through which autograd can differentiate; not with
            ``max_grad_norm``.
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
        InvalidValueError: In a group, an option of the whole optimizer or a name like an option's;
            ``max_grad_norm`` with ``differentiable``; in a step, one that was set to 0 or less.
        BackendError: The backend that was asked for cannot take a group.
        CheckpointError: in ``load_state_dict``, a state of ``CompactAdamW`` with a storage other
            than ``float32_states`` (its ``plain_state_dict()`` is taken), or one that lacks what a
            captured CUDA graph writes.
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
        self._check_limit()
        self._forget_memory()

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """As of any optimizer.

        Raises:
            InvalidValueError: The group has an option of the whole optimizer or of
                ``CompactAdamW``, decay that is not decoupled, or a name like an option's. Other
                names are the caller's own.
        """
        if isinstance(param_group, dict):  # else PyTorch says so
            index, options = len(self.param_groups), ("params", "param_names", *self.defaults)
            storage = param_group.get("storage", PLAIN_STORAGE)
            if storage != PLAIN_STORAGE:
                raise InvalidValueError(
                    f"optimizer adamw has no storage, and a group sets storage = {storage!r}",
                    where=f"parameter group {index}",
                    known=", ".join(options),
                    fix="leave it out, or take compact_adamw",
                )
            check_options("adamw", param_group, index, (*options, "storage"))
        super().add_param_group(param_group)

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
        self._prefetch()
        if self._step_as_known():
            return loss
        self._check_limit()
        self._unscale_where_rows_cannot()
        try:
            groups = self._groups_for_kernel()
            if groups is not None:
                self._update_all_by_kernel(groups)
            else:
                self._refuse_sparse()
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
