"""What dlplug adds to a Lightning checkpoint, and what it demands of one."""

from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from dlplug.data.spec import DataSpec
from dlplug.errors import CheckpointError
from dlplug.plugin import CORE

KEY = "dlplug"
FORMAT = 1

# Types that `torch.load(weights_only=True)` gives back; exact types, since it refuses subclasses.
PLAIN = (bool, int, float, complex, str, bytes, type(None), torch.dtype, torch.device, torch.Size)
HEAD = ("name", "class_path")
CONTAINERS = (dict, OrderedDict, list, tuple, set)


def check_plain(checkpoint: Mapping[str, Any]) -> None:
    """Everything in the checkpoint is a tensor or plain data, so that it loads safely.

    Raises:
        CheckpointError: names the place of the first object that is neither.
    """
    for path, value in _objects(checkpoint, ()):
        owner = (
            f"callback {path[1].split('{')[0]}" if path[0] == "callbacks" else f"key {path[0]!r}"
        )
        place = " > ".join(str(part) for part in path)
        raise CheckpointError(
            f"the checkpoint would hold a {type(value).__module__}.{type(value).__qualname__},"
            f" put there by {owner}",
            where=place,
            known="tensors and plain data, which load with weights_only=True",
            fix="let its state_dict() return numbers, strings, tensors, lists and dicts only",
        )


def _objects(value: Any, path: tuple):
    if type(value) in PLAIN or isinstance(value, Tensor):
        return
    if type(value) not in CONTAINERS and not isinstance(value, dict):
        yield path, value
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from _objects(key, (*path, key))
            yield from _objects(item, (*path, key))
    else:
        for index, item in enumerate(value):
            yield from _objects(item, (*path, index))


def check_architecture(
    checkpoint: Mapping[str, Any],
    record: Mapping[str, Any] | None,
    expected: Mapping[str, Tensor],
    where: str | None = None,
) -> None:
    """The checkpoint belongs to the architecture that the config names, weight by weight.

    Args:
        checkpoint: As loaded.
        record: The present run's entry under `KEY`, or None when there is none.
        expected: The present model's weights.
        where: The checkpoint's path.
    Raises:
        CheckpointError: names both architectures, and the weights that differ.
    """
    theirs = architecture_of(saved_record(checkpoint, where))
    ours = architecture_of(record)
    if theirs and ours and identity(theirs) != identity(ours):
        raise CheckpointError(
            f"the checkpoint is of architecture {_text(theirs)}, the config names {_text(ours)}",
            where=where,
            fix="use the config of that run (--run), or another checkpoint",
        )
    # A sharded strategy has taken the weights out of the checkpoint and compared them itself.
    found = checkpoint.get("state_dict")
    problem = None if found is None else _difference(found, expected)
    if problem:
        sides = f" (checkpoint: {_text(theirs)}; config: {_text(ours)})" if theirs and ours else ""
        raise CheckpointError(
            f"the checkpoint does not fit the architecture{sides}: {problem}",
            where=where,
            fix="give the architecture the arguments of that run, or use its config (--run)",
        )


def saved_record(checkpoint: Mapping[str, Any], where: str | None = None) -> Mapping[str, Any]:
    """What a checkpoint says about its run; empty where it says nothing.

    Args:
        checkpoint: As loaded.
        where: Its path.
    Raises:
        CheckpointError: the entry is not what dlplug writes.
    """
    record = checkpoint.get(KEY) or {}
    parts = record if isinstance(record, Mapping) else {"resolved": record}
    for name in ("resolved", "data_spec", "data"):
        if not isinstance(parts.get(name) or {}, Mapping):
            raise CheckpointError(
                f"the checkpoint's record of its run has another form: {name} is a"
                f" {type(parts[name]).__name__}",
                where=where,
                fix="use another checkpoint; this one was not written by dlplug",
            )
    chosen = (record.get("resolved") or {}).get("architecture") or {}
    if not isinstance(chosen, (str, Mapping)):
        raise CheckpointError(
            f"the checkpoint's record of its run names {chosen!r} as its architecture", where=where
        )
    return record


def saved_spec(checkpoint: Mapping[str, Any], where: str | None = None) -> DataSpec | None:
    """What a checkpoint knows of its data; None where it says nothing.

    Args:
        checkpoint: As loaded.
        where: Its path.
    Raises:
        DlplugError: the entry is not what dlplug writes.
    """
    values = saved_record(checkpoint, where).get("data_spec")
    try:
        return None if values is None else DataSpec.from_dict(values)
    except TypeError as error:
        raise CheckpointError(
            f"the checkpoint's record of its data has another form: {error}", where=where
        ) from error


def architecture_of(record: Mapping[str, Any] | None) -> dict[str, Any]:
    """Name, or class path, and arguments, of a record; empty where it has none."""
    chosen = ((record or {}).get("resolved") or {}).get("architecture") or {}
    return {"name": chosen} if isinstance(chosen, str) else dict(chosen)


def identity(chosen: Mapping[str, Any]) -> str:
    """Id or class path of a component; a short name is one of dlplug's."""
    name = str(chosen.get("name") or chosen.get("class_path"))
    return f"{CORE}:{name}" if "name" in chosen and ":" not in name else name


def _text(architecture: Mapping[str, Any]) -> str:
    arguments = ", ".join(f"{k}={v}" for k, v in architecture.items() if k not in HEAD)
    return f"{architecture.get('name', architecture.get('class_path'))}({arguments})"


def _difference(found: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> str | None:
    missing = [name for name in expected if name not in found]
    extra = [name for name in found if name not in expected]
    if missing or extra:
        parts = [
            f"{text} {names[0]!r}" + (f" and {len(names) - 1} more" if len(names) > 1 else "")
            for text, names in (("it lacks", missing), ("it has the unknown", extra))
            if names
        ]
        return ", ".join(parts)
    for name, tensor in expected.items():
        if tuple(found[name].shape) != tuple(tensor.shape):
            return f"{name!r} is {tuple(found[name].shape)}, not {tuple(tensor.shape)}"
    return None
