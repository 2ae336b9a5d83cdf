"""Reading JSON lines: one object in each line of a text file."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from dlplug.data.text.token_data import read_text
from dlplug.errors import DataError, suggestion


def read_fields(path: Path, fields: Sequence[str]) -> Iterator[tuple[int, list[Any]]]:
    """Line number, from 1, and the values of ``fields``, for each line that is not empty.

    Args:
        path: A file of UTF-8.
        fields: Names that every object must have.
    Raises:
        DataError: names file and line of what is no object, or lacks a field.
    """
    for number, line in enumerate(read_text(path).split("\n"), 1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
        except json.JSONDecodeError as error:
            raise DataError(
                f"{path}, line {number}, column {error.colno}: no JSON: {error.msg}",
                fix="write one JSON object in each line; for plain text, take data text and set"
                " data.field to null",
            ) from error
        if not isinstance(record, dict):
            raise DataError(f"{path}, line {number}: {type(record).__name__} instead of an object")
        for field in fields:
            if field not in record:
                raise DataError(
                    f"{path}, line {number}: no field {field!r}",
                    known=", ".join(record),
                    fix=suggestion(field, record),
                )
        yield number, [record[field] for field in fields]


def checked_text(value: Any, path: Path, number: int, field: str) -> str:
    """A text that is not empty.

    Raises:
        DataError: names file, line and field of anything else.
    """
    if not isinstance(value, str):
        raise DataError(
            f"{path}, line {number}: {field} is {json.dumps(value)[:40]}, which is no text"
        )
    if not value.strip():
        raise DataError(f"{path}, line {number}: {field} is empty")
    return value
