"""What a config says of its data, as it is compared with what a checkpoint says of its own."""

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from dlplug.tasks.checkpoint import HEAD, identity

if TYPE_CHECKING:
    from dlplug.config.experiment import Experiment


def data_arguments(resolved: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments of the data, and its identity under ``name``."""
    chosen = resolved.get("data") or {}
    chosen = chosen if isinstance(chosen, Mapping) else {"name": chosen}
    arguments = chosen.get("init_args") or chosen
    return {"name": identity(chosen)} | {k: v for k, v in arguments.items() if k not in HEAD}


def data_places(experiment: "Experiment") -> dict[str, Any]:
    """Where the records are, by those arguments of the data that say it and that it has."""
    chosen = data_arguments(experiment.resolved)
    keys = getattr(experiment.datamodule, "sources", ())
    return {key: _place(chosen[key]) for key in keys if key in chosen}


def _place(value: Any) -> Any:
    """A path in one form, whatever folder it is told from; plain data."""
    if isinstance(value, str):
        return os.path.realpath(value)
    return list(map(_place, value)) if isinstance(value, (list, tuple)) else value


def differences(theirs: Mapping, ours: Mapping, keys: Sequence[str]) -> str:
    """What the data is told by these keys, here and in the training, for a message."""
    return ", ".join(
        f"data.{key}: {ours.get(key)!r}, the training had {theirs.get(key)!r}" for key in keys
    )
