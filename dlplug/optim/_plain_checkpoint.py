"""What FusedAdamW loads: plain states, its own or those of PyTorch's or compact AdamW."""

from collections.abc import Mapping
from typing import Any

from dlplug.errors import CheckpointError
from dlplug.optim._loading import Loading

PLAIN_STORAGE = "float32_states"  # the one of CompactAdamW that is a state of AdamW as it is


class PlainCheckpoint(Loading):
    """For `dlplug.optim.FusedAdamW`: states that hold m and v as they are."""

    def _check_given(self, state_dict: Mapping[str, Any]) -> None:
        """Refuse m and v in a storage of ``CompactAdamW`` that are not the values themselves.

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
        """Averages with their dtype; a state of ``torch.optim.AdamW`` has none."""
        self._load_averages(state_dict)
