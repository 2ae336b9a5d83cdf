"""Files with a token and its label in each line, and an empty line between sentences."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from dlplug.data.bad_rows import BadRows
from dlplug.data.text.token_data import read_text
from dlplug.errors import DataError

# How the shared tasks of CoNLL begin a document.
DOCUMENT = "-DOCSTART-"


class Sentence(NamedTuple):
    """Chosen columns of a sentence.

    Args:
        columns: Their cells, one tuple for each column.
        line: Where it begins, from 1.
        document: How many documents have begun before it.
    """

    columns: list[tuple[str, ...]]
    line: int
    document: int


def sentences_of(path: Path, columns: Sequence[int], bad: BadRows | None = None) -> list[Sentence]:
    """All sentences of a file.

    Args:
        path: A file of UTF-8.
        columns: Numbers of the columns that are wanted, each a different one.
        bad: Told of the sentences with a bad row, which are then empty; without it, it is an error.
    Raises:
        DataError: names file and line of a row that lacks one of them.
    """
    bad_rows = BadRows() if bad is None else bad
    sentences, rows, first, documents = [], [], 0, 0
    # An empty line more ends the last sentence.
    for number, line in enumerate([*read_text(path).split("\n"), ""], 1):
        is_document = line.startswith(DOCUMENT)
        if is_document or not line.strip():
            if rows:
                is_bad = len(sentences) in bad_rows
                cells = [()] * len(columns) if is_bad else list(zip(*rows, strict=True))
                sentences.append(Sentence(cells, first, documents))
            rows, documents = [], documents + is_document
            continue
        cells = line.split("\t") if "\t" in line else line.split()
        is_short = len(cells) <= max(*columns, len(columns) - 1)
        # -1 is the token's own column where the label lacks.
        if is_short or len({c % len(cells) for c in columns}) < len(columns) or "" in cells:
            error = DataError(
                f"{path}, line {number}: {line.strip()[:40]!r} lacks a token or a label"
                + (", or what data.split_by names" if len(columns) > 2 else ""),
                known=f"columns {', '.join(map(str, columns))}, counted from 0; -1 is the last",
                fix="write a token and its label in each line, separated by a space or tab",
            )
            bad_rows.add(len(sentences), error)
            cells = None
        first = first if rows else number
        rows.append(None if cells is None else tuple(cells[column] for column in columns))
    if bad is None:
        bad_rows.check(0)
    return sentences
