"""Averages of the parameters that an optimizer's step moves in its own pass."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from dlplug.ops import _device_table
from dlplug.ops._averages import average_dtype
from dlplug.ops.fallback.adamw import move_averages

KEY = "ema"
"""Of the average in a parameter's state."""


def check_decay(ema_decay: float | None) -> None:
    """Refuse what is neither a share in [0, 1) nor None.

    Raises:
        ValueError: In the words of PyTorch's optimizers.
    """
    if ema_decay is not None and not 0.0 <= ema_decay < 1.0:
        raise ValueError(f"Invalid ema_decay: {ema_decay}")


class Averaging:
    """For an optimizer: averages of its own (``ema_decay``), or those that a caller gives it.

    Its own are in the state of each parameter, under ``ema``: float32, or float64 of float64. They
    begin as the parameter before its first step. A caller's are of its making and keeping.
    """

    ema_decay: float | None = None
    _given: tuple[dict[int, Tensor], float] | None = None

    def average_in_next_step(self, averages: Mapping[int, Tensor], weight: float) -> None:
        """Move these averages in the pass of the next step, instead of own ones.

        Args:
            averages: By ``id`` of the parameter; float32 of its shape and strides (float64 of
                float64).
            weight: average = average + weight * (parameter - average).
        """
        self._given = dict(averages), weight

    def why_not_averaging(self) -> str | None:
        """Why an average given to it would take a pass of its own, or None."""
        return "it has averages of its own" if self.ema_decay is not None else None

    def take_back_averages(self) -> dict[int, Tensor]:
        """The given averages that no step has moved: of skipped steps, or without a gradient."""
        given, self._given = self._given, None
        return {} if given is None else given[0]

    def _averages_of(self, params: Sequence[Tensor]) -> list[Tensor]:
        """The averages that this step moves, one for each of these parameters; else none."""
        found_inf = getattr(self, "found_inf", None)
        is_known = found_inf is not None and not _device_table.is_on_device(found_inf)
        if is_known and found_inf.item():
            return []
        if self._given is not None:
            given = self._given[0]
            if found_inf is not None and not is_known:
                return []  # whether the step is skipped is known on the device only
            found = [given.get(id(param)) for param in params]
            return [] if any([average is None for average in found]) else found
        if self.ema_decay is None:
            return []
        states = [self.state[param] for param in params]
        for param, state in zip(params, states, strict=True):
            if KEY not in state:
                state[KEY] = param.detach().to(average_dtype(param), copy=True)
        return [state[KEY] for state in states]

    @property
    def _average_weight(self) -> float:
        """The weight of the new parameters in their averages."""
        if self._given is not None:
            return self._given[1]
        return 0.0 if self.ema_decay is None else 1.0 - self.ema_decay

    def _moved(self, params: Sequence[Tensor]) -> None:
        """Note that the averages given for these parameters have been moved."""
        if self._given is not None:
            for param in params:
                del self._given[0][id(param)]

    def _move(self, averages: Sequence[Tensor], params: Sequence[Tensor]) -> None:
        """In a pass of its own, after an update by other code than the kernel."""
        if averages:
            found_inf = getattr(self, "found_inf", None)
            weight = self._average_weight
            if found_inf is not None:  # the weight 0 skips, without waiting for the device
                weight = weight * (1.0 - found_inf.double())
            with torch.no_grad():
                move_averages(averages, params, weight)
            self._moved(params)

    def _move_idle(self) -> None:
        """Own averages of the parameters that have no gradient in this step."""
        if self.ema_decay is None or self._given is not None:
            return
        params = [p for g in self.param_groups for p in g["params"] if p.grad is None]
        params = [param for param in params if KEY in self.state.get(param, ())]
        self._move([self.state[param][KEY] for param in params], params)

    def _load_averages(self, state_dict: Mapping[str, Any]) -> None:
        """Load averages with their own dtype, where PyTorch casts states to their parameter's."""
        numbers = [n for group in state_dict["param_groups"] for n in group["params"]]
        params = [p for group in self.param_groups for p in group["params"]]
        for number, param in zip(numbers, params, strict=True):
            average = state_dict["state"].get(number, {}).get(KEY)
            if average is None:
                continue
            if self.ema_decay is None:
                self.state[param].pop(KEY, None)
            else:
                average = average.to(param.device, average_dtype(param), copy=True)
                self.state[param][KEY] = average
