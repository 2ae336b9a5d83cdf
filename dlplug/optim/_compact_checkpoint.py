"""What compact AdamW saves, loads, and exchanges with plain AdamW."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from dlplug.errors import CheckpointError, InvalidValueError
from dlplug.ops.fallback.compact_adamw import STORAGES
from dlplug.optim._averaging import KEY
from dlplug.optim._compact_states import PLAIN_NAMES, first_state, from_plain, loaded, values_of
from dlplug.optim._loading import Loading


class CompactCheckpoint(Loading):
    """For `dlplug.optim.CompactAdamW`: states with their storages."""

    def state_dict(self) -> dict[str, Any]:
        """As of any optimizer; seeds are numbers there, wherever they lie."""
        state = super().state_dict()
        for group in state["param_groups"]:
            if "seed" in group:
                group["seed"] = int(group["seed"])
        return state

    def _check_given(self, state_dict: Mapping[str, Any]) -> None:
        """Refuse what is neither of this class with the same storage nor of plain AdamW.

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
        for param in self._all_params():
            state = self.state.get(param)
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
            ``param``, ``exp_avg`` and ``exp_avg_sq``, of the parameter's shape, and distributed as
            it is; zero states before its first step.
        Raises:
            InvalidValueError: The parameter is in none of the groups.
        """
        of_groups = [g for g in self.param_groups if any(param is p for p in g["params"])]
        if not of_groups:
            raise InvalidValueError(
                f"a tensor of shape {tuple(param.shape)} is no parameter of this optimizer",
                where=f"{type(self).__name__}.float32_values()",
                fix="pass a parameter of one of its groups",
            )
        storage = of_groups[0]["storage"]
        state = self.state.get(param) or first_state(param, storage)
        return values_of(param, state, storage)
