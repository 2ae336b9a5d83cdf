"""Whether the records at hand are divided as those that a checkpoint was trained on."""

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lightning.pytorch.utilities import rank_zero_only

from dlplug.data.split import SPLITS
from dlplug.errors import DataError
from dlplug.run.parts import renewed_content
from dlplug.tasks.checkpoint import HEAD, identity, saved_record, saved_spec

if TYPE_CHECKING:
    from dlplug.config.experiment import Experiment

# What `Result.records` says of metrics on other records than those that the training kept apart.
OTHER_DATA, OTHER_SPLIT = "other data", "another split"
SPLIT_OF = {"validate": ("validation",), "test": ("test",), "predict": ("test",), "fit": SPLITS}


def fingerprint_of(data: Any) -> dict[str, Any]:
    """Name of a loaded data module, and its ``fingerprint()`` where it has one; plain data."""
    fingerprint = getattr(data, "fingerprint", None)
    return {"name": type(data).__name__} | (fingerprint() if fingerprint else {})


def adopt_data(experiment: "Experiment", content: Mapping[str, Any], path: Path) -> None:
    """Let the experiment's data use what the training of a checkpoint learned from its own.

    Args:
        experiment: Whose data module is built anew, unless it has learned the same.
        content: Of the checkpoint.
        path: Of the checkpoint.
    """
    spec = saved_spec(content, str(path))
    if spec is not None and spec.to_dict():  # data may publish nothing
        experiment.adopt(spec)


def check_split(
    verb: str,
    experiment: "Experiment",
    content: Mapping[str, Any],
    path: Path,
    any_split: bool = False,
) -> str | None:
    """The records that a verb needs are those that the training kept for that.

    Other data is taken, and said to be it: its place is given otherwise than in the training. A
    checkpoint that does not know its records is said to be one.

    Args:
        verb: ``fit``, ``validate``, ``test`` or ``predict``.
        experiment: Its data module is loaded, with what the training learned.
        content: Of the checkpoint.
        path: Of the checkpoint.
        any_split: Whether another division of the same data is taken, too.
    Returns:
        None, or `OTHER_DATA` or `OTHER_SPLIT` for what was taken.
    Raises:
        DataError: the same data is divided otherwise, or has changed.
    """
    record = saved_record(renewed_content(content, experiment, path), str(path))
    data, known = fingerprint_of(experiment.datamodule), record.get("data")
    if known is None:
        if len(data) > 1:
            _say(
                f"{path} does not say which records it was trained on, as those of earlier versions"
                f" do not: nobody knows whether they are among those to {verb} on"
            )
        return None
    changed = [split for split in SPLIT_OF[verb] if _has_changed(split, known, data)]
    if not changed:
        if known.get("mixed"):
            _say(f"{path} was trained on several divisions of its data (--any_split)")
        return OTHER_SPLIT if known.get("mixed") else None
    theirs, ours = _chosen(record.get("resolved") or {}), _chosen(experiment.resolved)
    sources = getattr(experiment.datamodule, "sources", ())
    moved = [key for key in ("name", *sources) if _place(theirs.get(key)) != _place(ours.get(key))]
    if moved:
        _say(
            f"this is other data than {path} was trained on ({_differences(theirs, ours, moved)}):"
            " it is prepared as that was; records of that are not recognised in it"
        )
        return OTHER_DATA
    split = changed[-1]
    if any_split:
        _say(f"{_problem(split, known, data)}, as --any_split allows")
        return OTHER_SPLIT
    others = [key for key in {**theirs, **ours} if theirs.get(key) != ours.get(key)]
    names = " or ".join(f"data.{key}" for key in sources) or "data"
    raise DataError(
        _problem(split, known, data),
        where=str(path),
        known=_differences(theirs, ours, others)
        or "the config is the same: records were added, removed, moved or edited",
        fix=("leave it as it was" if others else "bring the records back as they were")
        + f"; other data is known by another {names}; --any_split takes this all the same",
    )


def kept_for(split: str, content: Mapping[str, Any], path: Path) -> int | None:
    """How many records the training of a checkpoint had in a split; None where it does not say."""
    return _count(split, saved_record(content, str(path)).get("data") or {})


def _has_changed(split: str, known: Mapping[str, Any], data: Mapping[str, Any]) -> bool:
    """Whether a split that is not empty differs, as far as both sides tell."""
    if _count(split, data) == 0:
        return False
    digests = [side.get("sha256") for side in (known, data)]
    if all(isinstance(side, Mapping) and split in side for side in digests):
        return digests[0][split] != digests[1][split]
    return None not in (counts := [_count(split, known), _count(split, data)]) and (
        counts[0] != counts[1]
    )


def _count(split: str, data: Mapping[str, Any]) -> int | None:
    counts = data.get("records")
    return counts.get(split) if isinstance(counts, Mapping) else None


def _problem(split: str, known: Mapping[str, Any], data: Mapping[str, Any]) -> str:
    here, there = _count(split, data), _count(split, known)
    others = ", others" if here == there else ""
    return (
        f"the {split} split is not the one of the training ({here} records here, {there}"
        f" there{others}): the model may have learned from what is in it"
    )


def _chosen(resolved: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments of the data, and its identity under ``name``."""
    chosen = resolved.get("data") or {}
    chosen = chosen if isinstance(chosen, Mapping) else {"name": chosen}
    arguments = chosen.get("init_args") or chosen
    return {"name": identity(chosen)} | {k: v for k, v in arguments.items() if k not in HEAD}


def _place(value: Any) -> Any:
    """A path in one form, whatever folder it is told from."""
    if isinstance(value, str):
        return os.path.realpath(value)
    return list(map(_place, value)) if isinstance(value, (list, tuple)) else value


def _differences(theirs: Mapping, ours: Mapping, keys: Sequence[str]) -> str:
    return ", ".join(
        f"data.{key}: {ours.get(key)!r}, the training had {theirs.get(key)!r}" for key in keys
    )


def _say(text: str) -> None:
    if rank_zero_only.rank == 0:
        print(text, file=sys.stderr, flush=True)
