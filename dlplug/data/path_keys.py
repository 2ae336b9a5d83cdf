"""Keys of records that are files: what a regular expression finds in their paths."""

import re
from collections.abc import Callable, Sequence
from pathlib import Path

from dlplug.data.keys import Keys
from dlplug.errors import DataError, InvalidValueError

A_PATTERN = "a regular expression with one group, such as 'patient([0-9]+)'"


def is_pattern(split_by: str | None) -> bool:
    """Whether ``split_by`` is a regular expression, where it may name a field as well.

    A regular expression has a group, and so a parenthesis.
    """
    return split_by is not None and "(" in split_by


def check_pattern(split_by: str | None) -> None:
    """``split_by`` is a regular expression with one group, or None.

    Raises:
        InvalidValueError: it is none, or has another number of groups.
    """
    if split_by is None:
        return
    try:
        groups = re.compile(split_by).groups
    except re.error as error:
        raise InvalidValueError(
            f"data: split_by = {split_by!r} is no regular expression: {error}", known=A_PATTERN
        ) from error
    if groups != 1:
        raise InvalidValueError(
            f"data: split_by = {split_by!r} has {groups} groups",
            known=A_PATTERN,
            fix="put what says the split, group or time in ( ), and anything else in (?: )",
        )


def path_keys(pattern: str, paths: Sequence[str], place: Callable[[int], str]) -> Keys:
    """What the group of ``pattern`` matches in each path; None where the pattern is not found.

    Args:
        pattern: See `check_pattern`; searched anywhere in the path, the first match counts.
        paths: Divided by ``/``.
        place: What a record is called in messages.
    Raises:
        DataError: the pattern is found in no path at all.
    """
    found = [match and match[1] for match in map(re.compile(pattern).search, paths)]
    if paths and not any(found):
        raise DataError(
            f"data.split_by {pattern!r} matches none of {len(paths)} paths, such as {paths[0]!r}",
            known=A_PATTERN,
        )
    return Keys(found, lambda record: f"{place(record)}, data.split_by {pattern!r}")


def file_keys(pattern: str | None, files: Sequence[Path], root: Path) -> Keys | None:
    """`path_keys` of files, by their paths below ``root``; None without a pattern."""
    if pattern is None:
        return None
    paths = [file.relative_to(root).as_posix() for file in files]
    return path_keys(pattern, paths, lambda record: str(files[record]))
