"""Loading of an optimizer's state between the hooks that others have registered for it."""

from collections.abc import Mapping
from typing import Any

from torch.optim import Optimizer


class Loading:
    """For an optimizer: what it does itself before and after PyTorch's loading.

    Hooks before a load may return another state than the one given, and hooks after it may change
    what was loaded: its own part comes after the former and before the latter.
    """

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Continue from a state.

        Args:
            state_dict: As of ``torch.optim.Optimizer.load_state_dict``.
        """
        given, groups = {}, []

        def check(_: Optimizer, state_dict: Mapping[str, Any]) -> None:
            self._check_given(state_dict)
            given.update(state_dict)
            groups.extend(map(dict, self.param_groups))

        handles = [
            self.register_load_state_dict_pre_hook(check),
            self.register_load_state_dict_post_hook(
                lambda _: self._take(given, groups), prepend=True
            ),
        ]
        try:
            super().load_state_dict(state_dict)
        finally:
            for handle in handles:
                handle.remove()

    def _check_given(self, state_dict: Mapping[str, Any]) -> None:
        """Refuse a state, before anything has changed."""

    def _take(self, state_dict: Mapping[str, Any], groups: list[dict[str, Any]]) -> None:
        """Take from it what PyTorch has loaded otherwise; groups as they were before."""
