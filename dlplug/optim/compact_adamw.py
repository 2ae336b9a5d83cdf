"""AdamW for models that are trained in bfloat16, or whose states are to take a quarter."""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch.optim import Optimizer

from dlplug.optim._averaging import Averaging
from dlplug.optim._compact_checkpoint import CompactCheckpoint
from dlplug.optim._compact_groups import (
    check_capturable,
    check_fit,
    check_group,
    refuse_out_of_range,
)
from dlplug.optim._compact_update import CompactUpdate
from dlplug.optim._copying import Copying
from dlplug.optim._lean_step import LeanZeroGrad, lean_step
from dlplug.optim._on_device import OnDevice
from dlplug.optim._scaling import Scaling


class CompactAdamW(
    LeanZeroGrad,
    Copying,
    CompactCheckpoint,
    Averaging,
    Scaling,
    CompactUpdate,
    OnDevice,
    Optimizer,
):
    """AdamW with parameters or states in fewer bytes than float32; see ``compact_adamw_``.

    Bytes for each bfloat16 parameter, without its gradient (plain AdamW in float32: 12):
    ``float32_states`` 10, ``remainder`` 12, ``stochastic`` 6, ``kahan`` 8, ``8bit`` 4. With
    ``remainder`` the training is that of float32 weights, though the model computes in bfloat16.
    ``stochastic`` rounds by a seed of its own (``seed`` in a group, part of the state, another in
    each step), which begins as ``torch.initial_seed()``: processes that were given the same seed
    round alike, whatever else each of them draws. ``torch.compile`` compiles its steps one by one,
    each for its seed; those of the other storages are compiled once, schedules included.

    Distributed parameters are updated by the shards of each process, after their gradients were
    split as they are; all storages but ``8bit``, whose blocks are of the whole parameter, take
    shards (FSDP2). ``load_state_dict`` takes states of the same storage and of AdamW with plain
    ones.

    Args:
        params: Parameters, or groups of them.
        lr: Learning rate.
        betas: Decay of the running means of gradient and squared gradient per step.
        eps: Added to the root of the second.
        weight_decay: Times ``lr`` the fraction of each weight removed per step.
        storage: ``remainder``, ``kahan`` or ``stochastic``, for parameters in bfloat16
            (``trainer.precision: bf16-true``); ``float32_states`` or ``8bit``, for any.
        maximize: Go up the gradient.
        fused: True to let a ``GradScaler`` leave the unscaling to the step, which saves a pass over
            the gradients; Lightning's mixed precisions then refuse to clip them by value.
        max_grad_norm: Where the norm of all gradients together is larger, the step is that of
            gradients scaled down to it; > 0, or None.
        ema_decay: As of ``FusedAdamW``. The averages follow the parameters as they are stored, in
            float32: they take 4 bytes more for each.
        capturable: As of ``FusedAdamW``; the seeds of ``stochastic`` are then on the GPU, too.
    Raises:
        InvalidValueError: A value out of range; in the first step, a storage for bfloat16 while
            all parameters are float32; in any, a ``max_grad_norm`` that was set to 0 or less, or
            ``capturable`` of parameters on the CPU.
        DtypeError: in the first step, a parameter that the storage is not for; in any, a sparse
            gradient.
        CheckpointError: in ``load_state_dict``, a state of another storage or of AMSGrad, one that
            does not fit the parameters, or one that lacks what a captured CUDA graph writes.
    References: see :func:`dlplug.ops.compact_adamw_`.
    """

    def __init__(
        self,
        params: Iterable,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
        *,
        storage: str = "8bit",
        maximize: bool = False,
        fused: bool = False,
        max_grad_norm: float | None = None,
        ema_decay: float | None = None,
        capturable: bool = False,
    ):
        refuse_out_of_range(
            {
                f"max_grad_norm = {max_grad_norm}": max_grad_norm is None or max_grad_norm > 0,
                f"ema_decay = {ema_decay}": ema_decay is None or 0 <= ema_decay < 1,
            }
        )
        self._forget_memory()
        self.max_grad_norm, self.ema_decay = max_grad_norm, ema_decay
        self._step_supports_amp_scaling = fused
        defaults = dict(
            lr=lr,
            betas=betas,
            eps=eps,
            weight_decay=weight_decay,
            storage=storage,
            maximize=maximize,
            capturable=capturable,
        )
        super().__init__(params, defaults)

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """As of any optimizer; a group that rounds by chance gets its first seed.

        Raises:
            InvalidValueError: No such storage, a value out of range, an option that this class does
                not have or not for a group, or a name like an option's. Other names are the
                caller's own.
        """
        check_group({**self.defaults, **param_group}, len(self.param_groups))
        super().add_param_group(param_group)
        index = len(self.param_groups) - 1
        if self.param_groups[index]["storage"] == "stochastic":
            self._set_first_seed(index)

    @lean_step
    @torch.no_grad()
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
        if not self._step_as_known():
            self._check_limit()
            check_capturable(self.param_groups)
            if not self.state:
                self.check_dtypes()
            self._update_groups()
        return loss

    def check_dtypes(self) -> None:
        """The storage is for parameters such as these; asked in the first step.

        Raises:
            InvalidValueError: it is for bfloat16, and all of them are float32.
        """
        check_fit(self.param_groups)
