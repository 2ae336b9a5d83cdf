"""Files of texts, whole or line by line, and the text of each split."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from dlplug.data.division import Division
from dlplug.data.keys import Keys
from dlplug.data.path_keys import check_pattern, file_keys, is_pattern
from dlplug.data.paths import resolve_path
from dlplug.data.text.jsonl_file import checked_text, field_place, read_fields
from dlplug.data.text.token_data import read_text
from dlplug.errors import ConfigError, DataError, InvalidValueError


class Document(NamedTuple):
    """A text, which ends its last line.

    Args:
        text: A whole file, or a line of JSON lines.
        file: In which it stands.
        line: Where, from 1.
        value: Of the field that ``split_by`` names; None where it names none.
    """

    text: str
    file: Path
    line: int = 1
    value: object = None


def check_key(split_by: str | None, field: str | None) -> None:
    """``split_by`` is None, a regular expression for paths, or names a field of JSON lines.

    Raises:
        InvalidValueError: it is no such expression, or there are no fields.
    """
    if is_pattern(split_by):
        check_pattern(split_by)
    elif split_by is not None and field is None:
        raise InvalidValueError(
            f"data text: split_by = {split_by!r} names a field, and the files are no JSON lines",
            fix="write a regular expression with one group for the files' paths, such as"
            " '(train|valid|test)', or set data.field",
        )


def text_files(path: str, field: str | None) -> Sequence[Path]:
    """The file of that path, or those in the folder, by their names.

    Args:
        path: See `resolve_path`.
        field: The files are JSON lines, and this one is read; None for plain text.
    Raises:
        DataError: there are none.
    """
    found = resolve_path(path)
    if not found.is_dir():
        return [found]
    ending = ".txt" if field is None else ".jsonl"
    files = sorted(file for file in found.iterdir() if file.suffix == ending)
    if not files:
        raise DataError(f"data text: the folder {path} has no {ending} files")
    return files


def divided_text(files: Sequence[Path], field: str | None, division: Division) -> dict[str, str]:
    """The text of each split: by position, or of whole documents in their order.

    Args:
        files: In their order.
        field: See `text_files`.
        division: Its key is as `check_key` says.
    Raises:
        DataError: a file is no text, or names line and field of a bad record.
    """
    key = division.key
    if key is None:
        text = "".join(d.text for file in files for d in read_documents(file, field))
        places = division.ranges(len(text))
        return {name: text[where.start : where.stop] for name, where in places.items()}
    if is_pattern(key):
        texts = ["".join(d.text for d in read_documents(file, field)) for file in files]
        # Absolute, because a list may hold paths of both kinds.
        files = [file.absolute() for file in files]
        folder = Path(os.path.commonpath([file.parent for file in files]))
        keys = file_keys(key, files, folder)
    else:
        read = [document for file in files for document in read_documents(file, field, key)]
        texts = [document.text for document in read]
        values = [document.value for document in read]
        keys = Keys(values, lambda row: field_place(read[row].file, read[row].line, key))
    rows = division.rows(len(texts), keys)
    return {name: "".join(texts[row] for row in r.tolist()) for name, r in rows.items()}


def read_documents(file: Path, field: str | None, key: str | None = None) -> Iterator[Document]:
    """The lines of JSON lines, or a whole file.

    Args:
        file: Of UTF-8.
        field: See `text_files`.
        key: A further field to read.
    Raises:
        ConfigError: JSON lines without a ``field``.
        DataError: names file and line of a bad record.
    """
    if field is None:
        text = plain_text(file)
        yield Document(text if text.endswith("\n") else f"{text}\n", file)
        return
    for number, (value, *values) in read_fields(file, [field] + [key] * (key is not None)):
        text = checked_text(value, file, number, field)
        yield Document(f"{text}\n", file, number, *values)


def plain_text(file: Path) -> str:
    """A whole file as it stands.

    Raises:
        ConfigError: its name says that it holds JSON lines.
        DataError: it is no text.
    """
    if file.suffix == ".jsonl":
        raise ConfigError(
            f"data text: {file} holds JSON lines, and no field is named",
            fix="set data.field to the field of the text, such as text",
        )
    return read_text(file)
