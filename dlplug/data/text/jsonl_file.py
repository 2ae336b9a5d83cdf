"""Reading JSON lines: one object in each line of a text file."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from dlplug.data.bad_rows import BadRows
from dlplug.data.text.token_data import text_lines
from dlplug.errors import DataError, suggestion


def read_fields(
    path: Path, fields: Sequence[str], bad: BadRows | None = None
) -> Iterator[tuple[int, list[Any] | None]]:
    """Line number, from 1, and the values of ``fields``, for each line that is not empty.

    Args:
        path: A file of UTF-8.
        fields: Names that every object must have.
        bad: Told of the lines that are bad, whose values are None; without it, they are errors.
    Raises:
        DataError: names file and line of what is no object, or lacks a field.
    """
    for row, (number, line) in enumerate(text_lines(path)):
        try:
            yield number, values_of(_record(line, path, number), fields, f"{path}, line {number}")
        except DataError as error:
            if bad is None:
                raise
            bad.add(row, error)
            yield number, None


def is_json_lines(path: Path) -> bool:
    """Whether its name ends in ``.jsonl``, or its first line that is not empty holds an object.

    Raises:
        DataError: it cannot be read.
    """
    if path.suffix == ".jsonl":
        return True
    first = next((line for _, line in text_lines(path)), "")
    try:
        return isinstance(json.loads(first), dict)
    except (ValueError, RecursionError):
        return False


def texts_of(path: Path, field: str) -> Iterator[tuple[int, str]]:
    """Line number, from 1, and text: of JSON lines that of ``field``, of another file the line.

    Raises:
        DataError: names file and line of a bad record.
    """
    if not is_json_lines(path):
        yield from text_lines(path)
        return
    for number, (value,) in read_fields(path, [field]):
        yield number, checked_text(value, path, number, field)


def _record(line: str, path: Path, number: int) -> Any:
    try:
        return json.loads(line)
    except (ValueError, RecursionError) as error:
        # Python refuses numbers of thousands of digits, and brackets within thousands of others.
        is_form = isinstance(error, json.JSONDecodeError)
        place = f", column {error.colno}" if is_form else ""
        raise DataError(
            f"{path}, line {number}{place}: no JSON: {error.msg if is_form else error}",
            fix="write one JSON object in each line; for plain text, take data text and set"
            " data.field to null",
        ) from error


def values_of(record: Any, fields: Sequence[str], place: str) -> list[Any]:
    """The values of ``fields`` in an object.

    Args:
        record: As JSON gives it.
        fields: Names.
        place: Where it stands, in words.
    Raises:
        DataError: it is no object, or lacks a field.
    """
    if not isinstance(record, dict):
        raise DataError(f"{place}: {type(record).__name__} instead of an object")
    for field in fields:
        if field not in record:
            raise DataError(
                f"{place}: no field {field!r}",
                known=", ".join(record),
                fix=suggestion(field, record),
            )
    return [record[field] for field in fields]


def field_place(path: Path, number: int, field: str) -> str:
    """Where a field stands, in words."""
    return f"{path}, line {number}, field {field!r}"


def checked_text(value: Any, path: Path, number: int, field: str) -> str:
    """A text that is not empty, and can be written as UTF-8.

    Raises:
        DataError: names file, line and field of anything else.
    """
    if not isinstance(value, str):
        raise DataError(
            f"{path}, line {number}: {field} is {json.dumps(value)[:40]}, which is no text"
        )
    if not value.strip():
        raise DataError(f"{path}, line {number}: {field} is empty")
    try:
        value.encode()
    except UnicodeEncodeError as error:
        half = value[error.start]
        raise DataError(
            f"{path}, line {number}: {field} holds {half!r}, one half of a character",
            fix="write both halves, as in \\ud83d\\ude00, or neither",
        ) from error
    return value
