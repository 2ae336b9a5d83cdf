"""The step of compact AdamW, group by group and device by device."""

from dataclasses import replace

from torch import Tensor

from dlplug.ops import _device_table
from dlplug.ops._adamw_kernels import count_versions
from dlplug.ops._compact_checks import check_layouts
from dlplug.ops._compact_device import CompactDeviceRows, compact_rows_for, update_table
from dlplug.ops._compact_rows import CompactRows
from dlplug.ops.compact_adamw import compact_adamw_, update_tables
from dlplug.optim._averaging import KEY
from dlplug.optim._compact_states import first_state, local_state
from dlplug.optim._group_options import numbers_of
from dlplug.optim._known_step import KnownStep
from dlplug.optim._local_tensors import local, redistribute_gradients
from dlplug.optim._on_device import params_by_device
from dlplug.optim._random_seeds import NEXT_SEED, RandomSeeds


class CompactUpdate(RandomSeeds, KnownStep):
    """For `dlplug.optim.CompactAdamW`."""

    _tables_kernel = update_tables
    _rows: dict[tuple[int, int], CompactRows]

    def _known_rows(
        self, index: int, group: dict, params: list[Tensor], grads: list[Tensor]
    ) -> CompactRows | None:
        rows, storage = self._rows.get((index, 0)), group["storage"]
        if type(rows) is not CompactRows or rows.storage != storage or group["capturable"]:
            return None
        if ("seed" in group) != (storage == "stochastic"):
            return None
        states = list(map(self.state.get, params))
        try:
            averages = [] if self.ema_decay is None else [state[KEY] for state in states]
        except (KeyError, TypeError):  # a state is missing, or its average
            return None
        kept = rows.in_order(params, averages, states)
        return rows if rows.take_if_like_last(kept, grads) else None

    def _table(self, group: dict, rows: CompactRows, grad_scale: float = 1.0) -> Tensor:
        return rows.table(
            group["maximize"],
            *numbers_of(group),
            grad_scale,
            1.0,
            self._average_weight,
            seed=self._draw_seed(group) or 0,
        )

    def _update_groups(self) -> None:
        """Update what has a gradient, after what all groups need: unscaling, the norm of all."""
        with_grad = [param for param in self._all_params() if param.grad is not None]
        grads = [param.grad for param in with_grad]
        check_layouts(grads)
        are_on_device = bool(grads) and all(
            _device_table.is_on_device(grad) and grad.device.type in update_table.devices
            for grad in grads
        )
        if not are_on_device and self._is_skipped():
            return
        redistribute_gradients(with_grad)
        self._unscale_where_rows_cannot()
        scales = self._scales(with_grad, are_on_device)
        try:
            for index, group in enumerate(self.param_groups):
                parts = params_by_device([p for p in group["params"] if p.grad is not None])
                seeds = self._seeds_of_step(group, parts, are_on_device)
                for (first, params), seed in zip(parts, seeds, strict=True):
                    self._update(index, group, first, params, seed, are_on_device, scales)
        finally:
            self._norms = {}
        self._move_idle()

    def _scales(self, params: list[Tensor], are_on_device: bool) -> tuple[float, float]:
        """What gradients are divided by, and what the quotients are multiplied by.

        Both are 1 where the device of the gradients has them.
        """
        if not are_on_device:
            return self._scale(), self._clip()
        return 1.0, 1.0 if self._clip_grads_on_device(params) else self._clip()

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
        """Update parameters of one device; ``first`` is the number of those of devices before."""
        is_decided_there = self._is_decided_there(group) and _device_table.is_on_device(params[0])
        states = [self._state_of(param, group["storage"], is_decided_there) for param in params]
        averages = self._averages_of(params)
        lr, (beta1, beta2) = group["lr"], group["betas"]
        factors = None
        if are_on_device:
            self._note_capture(params[0].device)
            factors = self._factors_on(params[0].device)
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

    def _state_of(self, param: Tensor, storage: str, is_decided_there: bool) -> dict[str, Tensor]:
        """The state; its step on the parameter's device where that decides about skipping."""
        state = self.state[param]
        if not state:
            state.update(first_state(param, storage))
        if is_decided_there:
            state["step"] = state["step"].to(param.device, non_blocking=True)
        return state
