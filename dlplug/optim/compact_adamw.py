"""AdamW for models that are trained in bfloat16, or whose states are to take a quarter."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from dlplug.errors import CheckpointError, InvalidValueError
from dlplug.ops import _device_table
from dlplug.ops._compact_device import CompactDeviceRows, compact_rows_for, update_table
from dlplug.ops._compact_rows import CompactRows
from dlplug.ops.adamw import count_versions
from dlplug.ops.compact_adamw import check_layouts, check_storage, compact_adamw_, compact_state
from dlplug.ops.fallback.compact_adamw import OF_BFLOAT16, STORAGES
from dlplug.optim._averaging import KEY, Averaging
from dlplug.optim._compact_states import PLAIN_NAMES, from_plain, loaded, local_state, values_of
from dlplug.optim._gradient_norm import groups_with_parts
from dlplug.optim._lean_step import LeanZeroGrad, lean_step
from dlplug.optim._loading import Loading
from dlplug.optim._local_tensors import local, redistribute_gradients
from dlplug.optim._on_device import OnDevice
from dlplug.optim._scaling import Scaling

# Between the seeds of a group's steps; odd, so that all 2^63 come before one comes again.
NEXT_SEED = 0x9E3779B97F4A7C15


class CompactAdamW(LeanZeroGrad, Loading, Averaging, Scaling, OnDevice, Optimizer):
    """AdamW with parameters or states in fewer bytes than float32; see ``compact_adamw_``.

    Bytes for each bfloat16 parameter, without its gradient (plain AdamW in float32: 12):
    ``float32_states`` 10, ``remainder`` 12, ``stochastic`` 6, ``kahan`` 8, ``8bit`` 4. With
    ``remainder`` the training is that of float32 weights, though the model computes in bfloat16.
    ``stochastic`` rounds by a seed of its own (``seed`` in a group, part of the state, another in
    each step), which begins as ``torch.initial_seed()``: processes that were given the same seed
    round alike, whatever else each of them draws.

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
            all parameters are float32.
        DtypeError: in the first step, a parameter that the storage is not for; in any, a sparse
            gradient.
        CheckpointError: in ``load_state_dict``, a state of another storage or of AMSGrad.
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
        _refuse_out_of_range(
            {
                f"max_grad_norm = {max_grad_norm}": max_grad_norm is None or max_grad_norm > 0,
                f"ema_decay = {ema_decay}": ema_decay is None or 0 <= ema_decay < 1,
            }
        )
        self._rows: dict[tuple[int, str], CompactRows] = {}
        self._forget_tables()
        self.max_grad_norm, self.ema_decay = max_grad_norm, ema_decay
        self._step_supports_amp_scaling = fused
        defaults = dict(
            lr=lr,
            betas=tuple(betas),
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
            InvalidValueError: No such storage, a value out of range, or an option of AdamW that
                this class does not have.
        """
        _check_group({**self.defaults, **param_group})
        super().add_param_group(param_group)
        index = len(self.param_groups) - 1
        group = self.param_groups[index]
        if group["storage"] == "stochastic":
            group.setdefault("seed", (torch.initial_seed() + index) % 2**63)

    def __setstate__(self, state: dict) -> None:
        """Restore a copy or a pickle; addresses are never part of those."""
        super().__setstate__(state)
        self._rows = {}
        self._forget_tables()

    def __getstate__(self) -> dict:
        """What a copy or a pickle is made of."""
        # Not all attributes: a scheduler leaves a `step` there that is bound to this optimizer.
        names = ("max_grad_norm", "ema_decay", "_step_supports_amp_scaling")
        own = {name: vars(self)[name] for name in names if name in vars(self)}
        return {**super().__getstate__(), **own}

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
        if not self.state:
            self.check_dtypes()
        with_grad = [param for param in self._all_params() if param.grad is not None]
        grads = [param.grad for param in with_grad]
        check_layouts(grads)
        are_on_device = bool(grads) and all(
            _device_table.is_on_device(grad) and grad.device.type in update_table.devices
            for grad in grads
        )
        if not are_on_device and self._is_skipped():
            return loss
        redistribute_gradients(with_grad)
        self._unscale_where_rows_cannot()
        grad_scale = grad_factor = 1.0
        if not are_on_device:
            grad_scale, grad_factor = self._scale(), self._clip()
        elif not self._clip_grads_on_device(with_grad):
            grad_factor = self._clip()
        try:
            for index, group in enumerate(self.param_groups):
                params = [param for param in group["params"] if param.grad is not None]
                scales = (grad_scale, grad_factor)
                parts = _by_device(params)
                seeds = self._seeds_of_step(group, parts, are_on_device)
                for (first, own), seed in zip(parts, seeds, strict=True):
                    self._update(index, group, first, own, seed, are_on_device, scales)
        finally:
            self._norms = {}
        self._move_idle()
        return loss

    def _seeds_of_step(
        self, group: dict, parts: list[tuple[int, list[Tensor]]], are_on_device: bool
    ) -> list[int | Tensor | None]:
        """One seed of random bits for all parts of a group; None where it draws none.

        Where it is known on a device alone whether the step is skipped, or which one it is, the
        seed lies there, too, and the first part's update leaves the next one there.
        """
        seed = group.get("seed")
        if seed is None or not parts:
            return [None] * len(parts)
        if not (are_on_device and self._is_decided_there(group)):
            seed = int(seed)
            group["seed"] = (seed + NEXT_SEED) % 2**63
            return [seed] * len(parts)
        devices = [params[0].device for _, params in parts]
        if not isinstance(seed, Tensor):
            seed = torch.full((), seed, dtype=torch.int64, device=devices[0])
        group["seed"] = seed = seed.to(devices[0], non_blocking=True)
        return [seed, *[seed.to(device, non_blocking=True) for device in devices[1:]]]

    def _is_decided_there(self, group: dict) -> bool:
        return group["capturable"] or getattr(self, "found_inf", None) is not None

    def _update(
        self,
        index: int,
        group: dict,
        first: int,
        params: list[Tensor],
        seed: int | Tensor | None,
        are_on_device: bool,
        scales: tuple[float, float],
    ) -> None:
        """Parameters that are on one device; ``first`` is the number of the first of them."""
        is_decided_there = self._is_decided_there(group) and _device_table.is_on_device(params[0])
        states = [self._state_of(param, group["storage"], is_decided_there) for param in params]
        averages = self._averages_of(params)
        lr, (beta1, beta2) = group["lr"], group["betas"]
        factors = self._factors_on(params[0].device) if are_on_device else None
        if isinstance(seed, Tensor):
            factors, seed = replace(factors, seed=seed), NEXT_SEED % 2**63
        own = [local(param) for param in params]
        compact_adamw_(
            own,
            [local(param.grad) for param in params],
            [local_state(state) for state in states],
            storage=group["storage"],
            lr=lr if isinstance(lr, Tensor) and _device_table.is_on_device(lr) else float(lr),
            beta1=beta1,
            beta2=beta2,
            eps=group["eps"],
            weight_decay=group["weight_decay"],
            maximize=group["maximize"],
            grad_scale=scales[0],
            grad_factor=scales[1],
            averages=[local(average) for average in averages],
            average_weight=self._average_weight,
            seed=seed,
            rows=self._rows_for(index, first, params),
            factors=factors,
        )
        if averages:
            self._moved(params)
        count_versions([p for p, part in zip(params, own, strict=True) if part is not p])

    def _rows_for(self, index: int, first: int, params: list[Tensor]) -> CompactRows:
        kind = compact_rows_for([local(params[0])])
        rows = self._rows.get((index, first))
        if type(rows) is not kind:
            rows = self._rows[index, first] = kind()
        if isinstance(rows, CompactDeviceRows):
            rows.first = first
        return rows

    def check_dtypes(self) -> None:
        """The storage is for parameters such as these; asked in the first step.

        Not before: a Trainer converts parameters after it has made the optimizer.

        Raises:
            InvalidValueError: it is for bfloat16, and all of them are float32.
        """
        groups = self.param_groups
        dtypes = {param.dtype for group in groups for param in group["params"]}
        storage = groups[0]["storage"]
        if dtypes == {torch.float32} and all(g["storage"] in OF_BFLOAT16 for g in groups):
            raise InvalidValueError(
                f"optimizer compact_adamw: storage {storage!r} is for parameters in bfloat16, and"
                " these are float32",
                fix="convert the model (trainer.precision: bf16-true), take storage 8bit, or adamw",
            )

    def _state_of(self, param: Tensor, storage: str, is_decided_there: bool) -> dict[str, Tensor]:
        """The state; its step on the parameter's device where that decides about skipping."""
        state = self.state[param]
        if not state:
            if storage == "8bit" and groups_with_parts(param) != ():
                raise InvalidValueError(
                    "optimizer compact_adamw: storage '8bit' has blocks of the whole parameter, and"
                    " this one is sharded",
                    fix="take another storage, or strategy ddp",
                )
            state.update(compact_state(param, storage))
        if is_decided_there:
            state["step"] = state["step"].to(param.device, non_blocking=True)
        return state

    def state_dict(self) -> dict[str, Any]:
        """As of any optimizer; seeds are numbers there, wherever they lie."""
        state = super().state_dict()
        for group in state["param_groups"]:
            if "seed" in group:
                group["seed"] = int(group["seed"])
        return state

    def _check_given(self, state_dict: Mapping[str, Any]) -> None:
        """It is of this class with the same storage, or of AdamW with plain states.

        Raises:
            CheckpointError: The state has another storage, or is AMSGrad's.
        """
        groups, states = state_dict["param_groups"], state_dict["state"].values()
        if any(g.get("amsgrad") for g in groups) or any("max_exp_avg_sq" in s for s in states):
            raise CheckpointError(
                "the optimizer's state is that of AMSGrad, whose largest averages of squares"
                " compact_adamw does not keep",
                fix="go on with optimizer adamw and amsgrad: true, or begin anew",
            )
        for ours, theirs in zip(self.param_groups, state_dict["param_groups"], strict=False):
            own, saved = ours["storage"], theirs.get("storage")
            if saved not in (None, own):
                raise CheckpointError(
                    f"the optimizer's state has storage {saved!r}, this one is {own!r}",
                    known=", ".join(STORAGES),
                    fix=f"set optimizer.storage: {saved}",
                )

    def _take(self, state_dict: Mapping[str, Any], groups: list[dict[str, Any]]) -> None:
        """States with their dtypes (PyTorch's own loading gives them that of the parameter)."""
        for group, own in zip(self.param_groups, groups, strict=True):
            group["storage"] = own["storage"]
            for name in own.keys() & {"capturable", "seed"}:  # plain AdamW has no seed
                group.setdefault(name, own[name])
        for group, theirs in zip(self.param_groups, state_dict["param_groups"], strict=True):
            for number, param in zip(theirs["params"], group["params"], strict=True):
                given = state_dict["state"].get(number)
                if given and theirs.get("storage") is None:
                    self.state[param] = from_plain(param, given, group["storage"])
                elif given:
                    self.state[param] = loaded(param, given)
        self._load_averages(state_dict)

    def plain_state_dict(self) -> dict[str, Any]:
        """What ``torch.optim.AdamW`` and ``FusedAdamW`` load: m and v in float32.

        The other direction is `load_state_dict`, which takes a state of those. Weights are not
        part of a state: `float32_values` gives those that a storage holds in more than bfloat16.
        """
        plain = torch.optim.AdamW([dict(params=g["params"]) for g in self.param_groups])
        for theirs, ours in zip(plain.param_groups, self.param_groups, strict=True):
            theirs.update({name: ours[name] for name in theirs if name in ours})
        for param, state in self.state.items():
            if not state:
                continue
            values = self.float32_values(param)
            plain.state[param] = {name: state[name] for name in ("step", KEY) if name in state}
            plain.state[param] |= {name: values[name] for name in PLAIN_NAMES}
        return plain.state_dict()

    def float32_values(self, param: Tensor) -> dict[str, Tensor]:
        """Weight and states of a parameter in float32, as plain AdamW would hold them.

        Args:
            param: One of this optimizer's.
        Returns:
            ``param``, ``exp_avg`` and ``exp_avg_sq``, of the parameter's shape; zero states before
            its first step.
        """
        storage = next(
            g["storage"] for g in self.param_groups if any(param is p for p in g["params"])
        )
        state = self.state.get(param) or compact_state(param, storage)
        return values_of(param, state, storage)


def _check_group(group: Mapping[str, Any]) -> None:
    """Its storage and numbers; nothing is accepted and ignored."""
    check_storage(group["storage"])
    for name in ("amsgrad", "differentiable", "foreach"):
        if group.get(name):
            raise InvalidValueError(
                f"optimizer compact_adamw has no {name}, which a group sets",
                fix=f"leave it out, or take adamw, which has {name}",
            )
    lr, betas, eps, decay = (group[name] for name in ("lr", "betas", "eps", "weight_decay"))
    _refuse_out_of_range(
        {
            f"lr = {lr}": lr >= 0,
            f"betas = {tuple(betas)}": all(0 <= beta < 1 for beta in betas),
            f"eps = {eps}": eps >= 0,
            f"weight_decay = {decay}": decay >= 0,
        }
    )


def _refuse_out_of_range(checks: Mapping[str, bool]) -> None:
    for text, is_fine in checks.items():
        if not is_fine:
            raise InvalidValueError(f"optimizer compact_adamw: {text} is out of range")


def _by_device(params: list[Tensor]) -> list[tuple[int, list[Tensor]]]:
    """The parameters of each device, and the number of the first: those before come first."""
    if params and not _device_table.is_on_device(params[0]):
        return [(0, params)]
    parts, first = [], 0
    for device in dict.fromkeys([param.device for param in params]):
        own = [param for param in params if param.device == device]
        parts.append((first, own))
        first += len(own)
    return parts
