"""Records that grow while a run goes on: files of one JSON object a line."""

import json
import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from dlplug.storage.files import storage_error, write_text


def append_rows(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Add objects at the end; they are on their way to the disk when this returns.

    Raises:
        StorageError: the disk is full or fails; the file is as it was.
    """
    rest = memoryview(_text(rows).encode())
    try:
        with path.open("ab", buffering=0) as file:
            size = file.seek(0, os.SEEK_END)
            try:
                while rest:
                    rest = rest[file.write(rest) :]
            except OSError:
                # Half a line would spoil the next one.
                with suppress(OSError):
                    file.truncate(size)
                raise
    except OSError as error:
        raise storage_error(path, error) from error


def read_rows(path: Path) -> list[dict[str, Any]]:
    """All objects; a line torn by a crash is left out, and a file that is missing has none."""
    rows = []
    for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else ():
        with suppress(json.JSONDecodeError):
            rows.append(json.loads(line))
    return rows


def replace_rows(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Let the file hold these objects and no others.

    Raises:
        StorageError: the disk is full or fails; the file is as it was.
    """
    write_text(path, _text(rows))


def _text(rows: Iterable[Mapping[str, Any]]) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)
