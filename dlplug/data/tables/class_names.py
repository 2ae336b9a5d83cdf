"""The names of classes that are words or whole numbers, which can be written in several ways."""

import re
from collections.abc import Sequence

import pyarrow
import pyarrow.compute as pc

from dlplug.data.tables.columns import NUMBER, Columns


def one_spelling(columns: Columns, name: str, words: pyarrow.ChunkedArray) -> list[str]:
    """The different words; of several ways to write a whole number, ``1`` and ``1.0``, the first.

    The shortest comes first. In a column of words, such as versions, each is one of its own.

    Args:
        columns: Of the file.
        name: Of the target column.
        words: Of it, shape ``(N,)``, null where nothing is known.
    """
    words = sorted(pc.unique(words.drop_null()).to_pylist(), key=lambda word: (len(word), word))
    first = {}
    for word in words:
        number = whole(word, columns.source.decimal)
        first.setdefault(word if number is None else number, word)
    if len(first) == len(words) or not columns.is_number(name, is_target=True):
        return words
    return list(first.values())


def whole(word: str | None, decimal: str) -> int | None:
    """The whole number that a word means, or None; with a point, up to where float64 holds each.

    Args:
        word: Any; None for one that is not known.
        decimal: What parts whole and fraction.
    """
    word = "" if word is None else word.replace(decimal, ".")
    if not re.fullmatch(NUMBER, word):
        return None
    if re.fullmatch("[+-]?[0-9]+", word):
        return int(word)
    value = float(word)
    return int(value) if value.is_integer() and abs(value) < 2**53 else None


def in_order(names: Sequence[str], decimal: str) -> list[str]:
    """Whole numbers in their own order, then words in the alphabet's.

    Args:
        names: Of classes.
        decimal: What parts whole and fraction.
    """
    numbers = {name: whole(name, decimal) for name in names}
    words = sorted(name for name in names if numbers[name] is None)
    others = [name for name in names if numbers[name] is not None]
    return sorted(others, key=lambda name: (numbers[name], name)) + words
