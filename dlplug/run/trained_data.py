"""Whether the records at hand are divided as those that a checkpoint was trained on."""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lightning.pytorch.utilities import rank_zero_only

from dlplug.data.split import SPLITS
from dlplug.data.split_loaders import SplitLoaders
from dlplug.errors import DataError
from dlplug.run.data_arguments import data_arguments, data_places, differences
from dlplug.run.parts import renewed_content
from dlplug.tasks.checkpoint import saved_record

if TYPE_CHECKING:
    from dlplug.config.experiment import Experiment

# What `Result.records` says of metrics on other records than those that the training kept apart.
OTHER_DATA, OTHER_SPLIT = "other data", "another split"
SPLIT_OF = {"validate": ("validation",), "test": ("test",), "predict": ("test",), "fit": SPLITS}
# What prepares other data: of an evaluation, and of a training.
LEARNED = (
    "it is prepared by what the training has learned from its own (means, classes, vocabulary)",
    "what is learned from training records is learned from its own",
)
# Arguments of the data that change neither which records there are nor how they are divided.
LOADING = ("batch_size", "num_workers", "sampling", "transforms", "cache_mb")


def fingerprint_of(data: Any, splits: Sequence[str] = SPLITS) -> dict[str, Any]:
    """Name of a loaded data module, and its ``fingerprint()`` where it has one; plain data.

    Args:
        data: The data module.
        splits: Those to hash; a module with a method of its own is asked for all.
    """
    fingerprint = getattr(data, "fingerprint", None)
    is_ours = getattr(type(data), "fingerprint", None) is SplitLoaders.fingerprint
    chosen = (splits,) if is_ours else ()
    return {"name": type(data).__name__} | (fingerprint(*chosen) if fingerprint else {})


def trained_record(experiment: "Experiment") -> dict[str, Any]:
    """By what a checkpoint knows its data again: the fingerprint, and where the records were.

    Args:
        experiment: Its data module is loaded.
    """
    return fingerprint_of(experiment.datamodule) | {"places": data_places(experiment)}


def check_split(
    verb: str,
    experiment: "Experiment",
    content: Mapping[str, Any],
    path: Path,
    any_split: bool = False,
    is_same_run: bool = False,
) -> str | None:
    """The records that a verb needs are those that the training kept for that.

    Other data is taken, and said to be it: its place is another than in the training. A run that
    goes on takes it as it takes another division. A checkpoint that does not know its records is
    said to be one.

    Args:
        verb: ``fit``, ``validate``, ``test`` or ``predict``.
        experiment: Its data module is loaded.
        content: Of the checkpoint.
        path: Of the checkpoint.
        any_split: Whether another division of the same data is taken, too.
        is_same_run: Whether the run of the checkpoint goes on.
    Returns:
        None, or `OTHER_DATA` or `OTHER_SPLIT` for what was taken.
    Raises:
        DataError: the same data is divided otherwise, or has changed.
    """
    record = saved_record(renewed_content(content, experiment, path), str(path))
    known = record.get("data")
    if known is None:
        if hasattr(experiment.datamodule, "fingerprint"):
            _say(
                f"{path} does not say which records it was trained on, as those of earlier versions"
                f" do not: nobody knows whether they are among those to {verb} on"
            )
        return None
    needed = SPLIT_OF[verb] if isinstance(known.get("sha256"), Mapping) else ()
    data = fingerprint_of(experiment.datamodule, needed)
    changed = [split for split in SPLIT_OF[verb] if _has_changed(split, known, data)]
    if not changed:
        if known.get("mixed"):
            _say(f"{path} was trained on several divisions of its data (--any_split)")
        return OTHER_SPLIT if known.get("mixed") else None
    places, before = data_places(experiment), known.get("places") or {}
    theirs = data_arguments(record.get("resolved") or {}) | before
    ours = data_arguments(experiment.resolved) | places
    moved = [key for key in ("name", *before) if theirs[key] != ours.get(key)]
    if moved and not is_same_run:
        _say(
            f"this is other data than {path} was trained on ({differences(theirs, ours, moved)}):"
            f" {LEARNED[verb == 'fit']}; records of the training are not recognised in it"
        )
        return OTHER_DATA
    problem = _problem(verb, changed[-1], known, data)
    if any_split:
        _say(f"{problem}, as --any_split allows")
        return OTHER_SPLIT
    keys = [key for key in {**theirs, **ours} if key not in LOADING]
    others = [key for key in keys if theirs.get(key) != ours.get(key)]
    names = " or ".join(f"data.{key}" for key in places) or "data.name"
    elsewhere = "" if is_same_run else f"other data is known by another {names}; "
    raise DataError(
        problem,
        where=str(path),
        known=differences(theirs, ours, others)
        or "the config is the same: records were added, removed, moved or edited"
        + _filled(known, data),
        fix=("leave it as it was" if others else "bring the records back as they were")
        + f"; {elsewhere}--any_split takes this all the same",
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


def _problem(verb: str, split: str, known: Mapping[str, Any], data: Mapping[str, Any]) -> str:
    here, there = _count(split, data), _count(split, known)
    others = ", others" if here == there else ""
    reason = (
        "going on may mix the records to learn from with those to judge by"
        if verb == "fit"
        else "the model may have learned from what is in it"
    )
    return (
        f"the {split} split is not the one of the training ({here} records here, {there}"
        f" there{others}): {reason}"
    )


def _filled(known: Mapping[str, Any], data: Mapping[str, Any]) -> str:
    """What else may be the reason where a split was empty."""
    filled = [split for split in SPLITS if _count(split, known) == 0 and _count(split, data)]
    if not filled:
        return ""
    return f", or an earlier version divided them, which left {filled[0]} empty for small classes"


def _say(text: str) -> None:
    if rank_zero_only.rank == 0:
        print(text, file=sys.stderr, flush=True)
