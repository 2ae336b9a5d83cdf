"""Loading of an optimizer's state between the hooks that others have registered for it."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor
from torch.optim import Optimizer

from dlplug.optim._captured_states import check_places, keep_places


class Loading:
    """For an optimizer: what it does itself before and after PyTorch's loading.

    Hooks before a load may return another state than the one given, and hooks after it may change
    what was loaded. Its own part comes after the hooks before, and before the hooks after.
    """

    _is_captured = False  # a CUDA graph has a step of it, and so the addresses of its states

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Continue from a state; in place, once a CUDA graph has captured a step.

        If it fails, states and groups are what they were.

        Args:
            state_dict: As of ``torch.optim.Optimizer.load_state_dict``.
        Raises:
            CheckpointError: a CUDA graph has captured a step, and the state lacks a tensor that it
                writes, or has one of another shape.
        """
        given, groups = {}, []
        states: dict[Tensor, dict[str, Tensor]] = {}

        def check(_: Optimizer, state_dict: Mapping[str, Any]) -> None:
            self._check_given(state_dict)
            if self._is_captured:
                check_places(self, state_dict)
                states.update({param: dict(state) for param, state in self.state.items()})
            given.update(state_dict)
            groups.extend(map(dict, self.param_groups))

        def take(_: Optimizer) -> None:
            self._take(given, groups)
            if self._is_captured:
                keep_places(self, states, groups)

        handles = [
            self.register_load_state_dict_pre_hook(check),
            self.register_load_state_dict_post_hook(take, prepend=True),
        ]
        # PyTorch replaces both before all that can fail is done.
        former = self.state, self.param_groups
        try:
            super().load_state_dict(state_dict)
        except BaseException:
            self.state, self.param_groups = former
            raise
        finally:
            for handle in handles:
                handle.remove()

    def _check_given(self, state_dict: Mapping[str, Any]) -> None:
        """Refuse a state, before anything has changed."""

    def _take(self, state_dict: Mapping[str, Any], groups: list[dict[str, Any]]) -> None:
        """Load what PyTorch leaves out or changes; ``groups`` are those before the load."""
